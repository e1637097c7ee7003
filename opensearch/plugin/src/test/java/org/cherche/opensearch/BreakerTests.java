package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

class BreakerTests {

    private final AtomicLong now = new AtomicLong();
    private final Breaker breaker = new Breaker(2, 100, now::get);

    @Test
    void opensAfterFailuresInARow() {
        breaker.failed();
        breaker.succeeded();
        breaker.failed();
        assertTrue(breaker.tryCall());
        breaker.failed();
        assertFalse(breaker.tryCall());
        assertTrue(breaker.isOpen());
        assertEquals(1, breaker.opened());
    }

    @Test
    void triesOneCallAfterThePause() {
        breaker.failed();
        breaker.failed();
        now.set(100);
        assertTrue(breaker.tryCall());
        assertFalse(breaker.tryCall());
        breaker.failed();
        assertFalse(breaker.tryCall());
        now.set(200);
        assertTrue(breaker.tryCall());
        breaker.succeeded();
        assertTrue(breaker.tryCall());
        assertTrue(breaker.tryCall());
        assertFalse(breaker.isOpen());
    }

    @Test
    void aSlowCallDecidesNothing() {
        breaker.failed();
        breaker.undecided();
        assertTrue(breaker.tryCall());
        breaker.failed();
        now.set(100);
        assertTrue(breaker.tryCall());
        breaker.undecided();
        assertTrue(breaker.isOpen());
        assertTrue(breaker.tryCall());
    }

    @Test
    void aSmallerBoundAppliesAtOnce() {
        breaker.failed();
        breaker.setFailures(1);
        assertTrue(breaker.isOpen());
    }

    @Test
    void aLongerPauseAppliesToTheNextOpening() {
        breaker.setPause(1_000);
        breaker.failed();
        breaker.failed();
        now.set(999);
        assertFalse(breaker.tryCall());
        now.set(1_000);
        assertTrue(breaker.tryCall());
    }
}
