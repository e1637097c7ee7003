package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.opensearch.common.settings.Settings;
import org.opensearch.core.common.breaker.CircuitBreaker;
import org.opensearch.core.common.breaker.CircuitBreakingException;
import org.opensearch.core.common.breaker.NoopCircuitBreaker;
import org.opensearch.threadpool.ThreadPool;

class BudgetTests {

    private static final long PER_HIT = (long) ((24 << 10) * 3.34);

    /** A breaker that counts, with a limit. */
    private static final class Counting extends NoopCircuitBreaker {

        private final long limit;
        private long used;

        Counting(long limit) {
            super(Budget.BREAKER);
            this.limit = limit;
        }

        @Override
        public double addEstimateBytesAndMaybeBreak(long bytes, String label) {
            if (used + bytes > limit) {
                throw new CircuitBreakingException("full", CircuitBreaker.Durability.TRANSIENT);
            }
            used += bytes;
            return used;
        }

        @Override
        public long addWithoutBreaking(long bytes) {
            used += bytes;
            return used;
        }
    }

    private final ThreadPool pool = new ThreadPool(Settings.builder().put("node.name", "test").build());

    @AfterEach
    void close() {
        Assertions.assertTrue(ThreadPool.terminate(pool, 10, TimeUnit.SECONDS));
    }

    @Test
    void aWindowThatFitsIsReservedUntilItIsReleased() {
        var breaker = new Counting(100 * PER_HIT);
        var budget = new Budget(breaker, pool);
        Budget.Window window = budget.reserve(80, 1);
        assertEquals(80, window.hits());
        assertEquals(80 * PER_HIT, breaker.used, 80);
        window.reservation().release();
        window.reservation().release();
        assertEquals(0, breaker.used);
    }

    @Test
    void aWindowThatDoesNotFitIsHalved() {
        var budget = new Budget(new Counting(30 * PER_HIT), pool);
        assertEquals(25, budget.reserve(100, 10).hits());
    }

    @Test
    void aWindowBelowTheLeastIsNone() {
        var breaker = new Counting(30 * PER_HIT);
        var budget = new Budget(breaker, pool);
        assertEquals(0, budget.reserve(100, 26).hits());
        assertEquals(0, new Budget(new Counting(0), pool).reserve(100, 1).hits());
        assertEquals(0, breaker.used);
    }

    @Test
    void theEstimateFollowsTheWindowsSoFar() {
        var budget = new Budget(new Counting(0), pool);
        assertEquals(24 << 10, budget.bytesPerHit());
        budget.observe(80_000, 10);
        assertEquals((7 * (24 << 10) + 8_000) / 8, budget.bytesPerHit());
        budget.observe(0, 0);
        assertEquals((7 * (24 << 10) + 8_000) / 8, budget.bytesPerHit());
        for (int window = 0; window < 200; window++) {
            budget.observe(0, 10);
        }
        assertEquals(1, budget.bytesPerHit());
    }
}
