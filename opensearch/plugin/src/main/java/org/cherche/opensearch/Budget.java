package org.cherche.opensearch;

import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.common.breaker.CircuitBreaker;
import org.opensearch.core.common.breaker.CircuitBreakingException;
import org.opensearch.threadpool.Scheduler;
import org.opensearch.threadpool.ThreadPool;

/**
 * Bounds the token codes that reranks hold on this node's heap, through a circuit breaker of the plugin.
 *
 * <p>The bytes of a window are reserved before the search and released when its page is complete. They are estimated by
 * a moving average over earlier windows.
 */
final class Budget {

    static final String BREAKER = "cherche_rerank";
    /** A search that fails never reaches the response processor: its reservation expires. */
    private static final TimeValue LONGEST = TimeValue.timeValueSeconds(60);
    private static final long FIRST_GUESS = 24 << 10;
    /** Base64 text, the decoded bytes, and the message that carries them. */
    private static final double COPIES = 1.34 + 2;

    /** Reserved bytes; releasing them twice has no further effect. */
    interface Reservation {
        void release();
    }

    static final Reservation NONE = () -> {};

    private final CircuitBreaker breaker;
    private final ThreadPool pool;
    private final AtomicLong bytesPerHit = new AtomicLong(FIRST_GUESS);

    Budget(CircuitBreaker breaker, ThreadPool pool) {
        this.breaker = breaker;
        this.pool = pool;
    }

    /** A window that fits, and the reservation of its bytes. */
    record Window(int hits, Reservation reservation) {}

    /** The requested window, or the largest that fits: each attempt halves it; below {@code least} it is 0. */
    Window reserve(int window, int least) {
        for (int hits = window; hits > 0 && hits >= least; hits /= 2) {
            long bytes = (long) (hits * bytesPerHit.get() * COPIES);
            try {
                breaker.addEstimateBytesAndMaybeBreak(bytes, BREAKER);
                return new Window(hits, reservation(bytes));
            } catch (CircuitBreakingException e) {
                // try half of it; the response reports that the window shrank
                continue;
            }
        }
        return new Window(0, NONE);
    }

    /** Updates the average by the codes of one window. */
    void observe(long bytes, int hits) {
        if (hits > 0) {
            bytesPerHit.updateAndGet(average -> Math.max(1, (7 * average + bytes / hits) / 8));
        }
    }

    long bytesPerHit() {
        return bytesPerHit.get();
    }

    private Reservation reservation(long bytes) {
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
