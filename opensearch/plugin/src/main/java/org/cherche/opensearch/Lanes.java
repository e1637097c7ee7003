package org.cherche.opensearch;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.function.Consumer;
import java.util.function.IntSupplier;

/** Starts at most so many tasks at once; the others wait their turn without holding a thread. */
final class Lanes {

    private final IntSupplier bound;
    private final Queue<Consumer<Runnable>> waiting = new ArrayDeque<>();
    private int running;

    Lanes(IntSupplier bound) {
        this.bound = bound;
    }

    /** Runs a task now or later; the task calls what it is given when it is done. */
    void submit(Consumer<Runnable> task) {
        synchronized (this) {
            if (running >= bound.getAsInt()) {
                waiting.add(task);
                return;
            }
            running++;
        }
        task.accept(this::done);
    }

    private void done() {
        Consumer<Runnable> next;
        synchronized (this) {
            next = running <= bound.getAsInt() ? waiting.poll() : null;
            if (next == null) {
                running--;
            }
        }
        if (next != null) {
            next.accept(this::done);
        }
    }
}
