package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.List;
import java.util.function.ToLongFunction;

/** Cuts a list into batches, in order. */
final class Batches {

    private Batches() {}

    /** Batches within both bounds; an item larger than {@code maxBytes} is a batch of its own. */
    static <T> List<List<T>> cut(List<T> items, ToLongFunction<T> bytesOf, long maxBytes, int maxItems) {
        List<List<T>> batches = new ArrayList<>();
        List<T> batch = new ArrayList<>();
        long bytes = 0;
        for (T item : items) {
            long size = bytesOf.applyAsLong(item);
            if (!batch.isEmpty() && (bytes + size > maxBytes || batch.size() >= maxItems)) {
                batches.add(batch);
                batch = new ArrayList<>();
                bytes = 0;
            }
            batch.add(item);
            bytes += size;
        }
        if (!batch.isEmpty()) {
            batches.add(batch);
        }
        return batches;
    }
}
