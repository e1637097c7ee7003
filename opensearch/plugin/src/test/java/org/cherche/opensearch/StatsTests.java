package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Locale;
import java.util.Map;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.Test;

class StatsTests {

    private final Stats stats = new Stats();

    @Test
    void everyCounterStartsAtZero() {
        Map<String, Long> snapshot = stats.snapshot();
        assertEquals(Count.values().length, snapshot.size());
        for (Count count : Count.values()) {
            assertEquals(0, snapshot.get(count.name().toLowerCase(Locale.ROOT)));
        }
    }

    @Test
    void countersAreIndependent() {
        stats.one(Count.PAGES_RERANKED);
        stats.one(Count.PAGES_RERANKED);
        stats.add(Count.INGEST_CALLS, 5);
        assertEquals(2, stats.snapshot().get("pages_reranked"));
        assertEquals(5, stats.snapshot().get("ingest_calls"));
        assertEquals(0, stats.snapshot().get("pages_not_reranked"));
    }

    @Test
    void timesAreMilliseconds() {
        stats.addMillisSince(System.nanoTime() - 7_500_000_000L, Count.QUERY_CALL_MILLIS);
        long millis = stats.snapshot().get("query_call_millis");
        assertTrue(millis >= 7_500 && millis < 60_000, () -> millis + " ms");
    }
}
