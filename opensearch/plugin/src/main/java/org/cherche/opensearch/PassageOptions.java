package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The option {@code passages}: which passages the hits of a page get.
 *
 * @param count most passages of a hit; 0 for none
 * @param size tokens of a passage; 0 for the sidecar's default
 * @param fields where they are looked for; empty for all fields that the index encodes
 */
record PassageOptions(int count, int size, List<String> fields) {

    static final PassageOptions NONE = new PassageOptions(0, 0, List.of());
    private static final int MOST = 10;
    private static final int LONGEST = 512;

    /**
     * Reads a number of passages, or an object with {@code count}, {@code size} and {@code fields}.
     *
     * @throws IllegalArgumentException for anything else
     */
    static PassageOptions read(Object value) {
        if (!(value instanceof Map<?, ?> given)) {
            return new PassageOptions(Options.whole(value, MOST), 0, List.of());
        }
        Map<Object, Object> values = new HashMap<>(given);
        Object count = values.remove("count");
        Object size = values.remove("size");
        List<String> fields = fields(values.remove("fields"));
        if (!values.isEmpty()) {
            throw new IllegalArgumentException("it has unknown keys " + values.keySet() + "; known are count, fields and size");
        }
        return new PassageOptions(
            count == null ? 1 : named("count", Options.whole(count, MOST)),
            size == null ? 0 : named("size", Options.whole(size, LONGEST)),
            fields
        );
    }

    private static int named(String name, int value) {
        if (value == 0) {
            throw new IllegalArgumentException("its " + name + " must be at least 1");
        }
        return value;
    }

    private static List<String> fields(Object value) {
        List<String> fields = new ArrayList<>();
        for (Object field : value == null ? List.of() : value instanceof List<?> list ? list : List.of(value)) {
            if (!(field instanceof String name) || name.isEmpty()) {
                throw new IllegalArgumentException("its fields must be names of fields");
            }
            fields.add(name);
        }
        return List.copyOf(fields);
    }
}
