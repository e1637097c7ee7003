package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ConcurrencyLimitTests {

    private final AtomicInteger bound = new AtomicInteger(2);
    private final ConcurrencyLimit limit = new ConcurrencyLimit(bound::get);
    private final List<Runnable> running = new ArrayList<>();

    private void submit(int tasks) {
        for (int task = 0; task < tasks; task++) {
            limit.submit(running::add);
        }
    }

    @Test
    void startsNoMoreThanTheBound() {
        submit(5);
        assertEquals(2, running.size());
        running.remove(0).run();
        assertEquals(2, running.size());
    }

    @Test
    void everyTaskRuns() {
        submit(5);
        int done = 0;
        while (!running.isEmpty()) {
            running.remove(0).run();
            done++;
        }
        assertEquals(5, done);
        submit(1);
        assertEquals(1, running.size());
    }

    @Test
    void aLowerBoundDrains() {
        submit(4);
        bound.set(1);
        running.remove(0).run();
        assertEquals(1, running.size());
        running.remove(0).run();
        assertEquals(1, running.size());
    }
}
