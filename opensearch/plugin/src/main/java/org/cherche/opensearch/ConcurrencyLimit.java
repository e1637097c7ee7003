package org.cherche.opensearch;

import java.util.ArrayDeque;
import java.util.Queue;
import java.util.function.Consumer;
import java.util.function.IntSupplier;

/** Runs a bounded number of asynchronous tasks at once; the others wait in order without holding a thread. */
final class ConcurrencyLimit {

    private final IntSupplier bound;
    private final Queue<Consumer<Runnable>> waiting = new ArrayDeque<>();
    private int running;

    ConcurrencyLimit(IntSupplier bound) {
        this.bound = bound;
    }

    /** Runs a task now or later; the task must run its argument when it is complete. */
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
