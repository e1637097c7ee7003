package org.cherche.opensearch;

import java.util.EnumMap;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.atomic.LongAdder;

/** Counters of the plugin on this node since it started. */
final class Stats {

    enum Count {
        DOCUMENTS_ENCODED,
        DOCUMENTS_REUSED,
        DOCUMENTS_DEFERRED,
        DOCUMENTS_FAILED,
        DOCUMENTS_TRUNCATED,
        DOCUMENTS_WITHOUT_TEXT,
        INGEST_CALLS,
        INGEST_CALL_MILLIS,
        QUERIES_REWRITTEN,
        QUERIES_UNTOUCHED,
        QUERY_CACHE_HITS,
        QUERY_CALL_MILLIS,
        PAGES_RERANKED,
        PAGES_NOT_RERANKED,
        RERANK_CALL_MILLIS,
        PAGES_WITH_PASSAGES,
        PASSAGES_CALL_MILLIS,
        WINDOWS_SHRUNK,
        SHADOW_SEARCHES,
    }

    private final Map<Count, LongAdder> counts = new EnumMap<>(Count.class);

    Stats() {
        for (Count count : Count.values()) {
            counts.put(count, new LongAdder());
        }
    }

    void add(Count count, long value) {
        counts.get(count).add(value);
    }

    /** Adds the milliseconds since a {@link System#nanoTime}. */
    void addMillisSince(long startedNanos, Count count) {
        add(count, (System.nanoTime() - startedNanos) / 1_000_000);
    }

    void one(Count count) {
        counts.get(count).increment();
    }

    Map<String, Long> snapshot() {
        Map<String, Long> values = new TreeMap<>();
        counts.forEach((count, adder) -> values.put(count.name().toLowerCase(Locale.ROOT), adder.sum()));
        return values;
    }
}
