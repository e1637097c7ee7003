package org.cherche.opensearch;

import java.util.function.LongSupplier;

/**
 * Circuit breaker for calls to the sidecars: it opens after some consecutive failures, rejects calls for a pause, then
 * lets one call through. If that call succeeds the breaker closes, if it fails the next pause begins.
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

    synchronized void setFailures(int newAllowed) {
        allowed = newAllowed;
    }

    synchronized void setPause(long newPauseNanos) {
        pauseNanos = newPauseNanos;
    }

    /** Whether a call may be made now; the result of each permitted call must be reported. */
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

    /** For a call that may be slow by itself, and says nothing of others. */
    synchronized void undecided() {
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

    /** Number of times the breaker opened. */
    synchronized long opened() {
        return opened;
    }
}
