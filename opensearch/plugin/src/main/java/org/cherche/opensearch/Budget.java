package org.cherche.opensearch;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.common.breaker.CircuitBreaker;
import org.opensearch.core.common.breaker.CircuitBreakingException;
import org.opensearch.threadpool.Scheduler;
import org.opensearch.threadpool.ThreadPool;

/**
 * Bounds the bytes of token codes that reranks hold on this node's heap, through a circuit breaker of the plugin's own.
 *
 * <p>The bytes of a window are held from before the search until its page is done. How many they will be is a moving
 * average of what windows had so far.
 */
final class Budget {

    static final String BREAKER = "cherche_rerank";
    /** A search that fails never reaches the response side: its hold ends by itself. */
    private static final TimeValue LONGEST = TimeValue.timeValueSeconds(60);
    private static final long FIRST_GUESS = 24 << 10;
    /** Base64 text beside the decoded bytes and the message that carries them. */
    private static final double COPIES = 1.34 + 2;

    /** Bytes that are held; giving them back twice is once. */
    interface Hold {
        void release();
    }

    static final Hold NOTHING = () -> {};

    private final CircuitBreaker breaker;
    private final ThreadPool pool;
    private final AtomicLong bytesPerHit = new AtomicLong(FIRST_GUESS);

    Budget(CircuitBreaker breaker, ThreadPool pool) {
        this.breaker = breaker;
        this.pool = pool;
    }

    /** A window that fits, and its bytes, held. */
    record Window(int hits, Hold hold) {}

    /** The window asked for, or the largest that fits now: each try halves it, down to {@code least}, then to 0. */
    Window reserve(int window, int least) {
        for (int hits = window; hits > 0 && hits >= least; hits /= 2) {
            long bytes = (long) (hits * bytesPerHit.get() * COPIES);
            try {
                breaker.addEstimateBytesAndMaybeBreak(bytes, BREAKER);
                return new Window(hits, hold(bytes));
            } catch (CircuitBreakingException e) {
                // tried again with half of it; the response says that the window shrank
                continue;
            }
        }
        return new Window(0, NOTHING);
    }

    /** Learns what the codes of a window really took. */
    void observe(long bytes, int hits) {
        if (hits > 0) {
            bytesPerHit.updateAndGet(average -> Math.max(1, (7 * average + bytes / hits) / 8));
        }
    }

    long bytesPerHit() {
        return bytesPerHit.get();
    }

    private Hold hold(long bytes) {
        var released = new AtomicBoolean();
        Runnable once = () -> {
            if (released.compareAndSet(false, true)) {
                breaker.addWithoutBreaking(-bytes);
            }
        };
        Scheduler.ScheduledCancellable end = pool.schedule(once, LONGEST, ThreadPool.Names.SAME);
        return () -> {
            end.cancel();
            once.run();
        };
    }
}
