package org.cherche.opensearch;

import java.util.function.LongSupplier;

/**
 * Stops calling sidecars that fail: after some failures in a row no call is tried for a pause, then one is; its
 * success closes the breaker, its failure begins the next pause.
 */
final class Breaker {

    private final LongSupplier nanoTime;
    private int allowed;
    private long pauseNanos;
    private int failures;
    private long openUntil;
    private boolean probing;
    private long opened;

    Breaker(int allowed, long pauseNanos, LongSupplier nanoTime) {
        this.allowed = allowed;
        this.pauseNanos = pauseNanos;
        this.nanoTime = nanoTime;
    }

    synchronized void allow(int newAllowed) {
        allowed = newAllowed;
    }

    synchronized void pause(long newPauseNanos) {
        pauseNanos = newPauseNanos;
    }

    /** Whether a call may be made now; each permitted call must be reported back. */
    synchronized boolean tryCall() {
        if (failures < allowed) {
            return true;
        }
        if (probing || nanoTime.getAsLong() - openUntil < 0) {
            return false;
        }
        probing = true;
        return true;
    }

    synchronized void succeeded() {
        failures = 0;
        probing = false;
    }

    synchronized void failed() {
        probing = false;
        failures = Math.min(failures + 1, allowed);
        if (failures == allowed) {
            openUntil = nanoTime.getAsLong() + pauseNanos;
            opened++;
        }
    }

    synchronized boolean isOpen() {
        return failures >= allowed;
    }

    /** How often a pause began. */
    synchronized long opened() {
        return opened;
    }
}
