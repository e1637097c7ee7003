package org.cherche.opensearch;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.opensearch.common.xcontent.json.JsonXContent;

/** Test vectors that Python and the plugin share: {@code tests/contract/*.json}. */
final class Contract {

    private Contract() {}

    static Map<String, Object> read(String name) {
        try {
            return parse(Files.readString(Path.of("..", "..", "tests", "contract", name)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    static Map<String, Object> parse(String json) {
        try (var parser = JsonXContent.jsonXContent.createParser(null, null, json)) {
            return parser.map();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @SuppressWarnings("unchecked")
    static List<Map<String, Object>> vectors(String name) {
        return (List<Map<String, Object>>) read(name).get("vectors");
    }

    /** Numbers of a vector; null is minus infinity, as in a hit that has no score. */
    static double[] numbers(Object list) {
        return ((List<?>) list).stream().mapToDouble(one -> one == null ? Double.NEGATIVE_INFINITY : ((Number) one).doubleValue()).toArray();
    }
}
