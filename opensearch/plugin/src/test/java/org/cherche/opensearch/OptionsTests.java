package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Search.QueryMode;
import java.util.HashMap;
import java.util.Map;
import org.cherche.opensearch.Options.MatchSet;
import org.cherche.opensearch.Options.Mode;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class OptionsTests {

    private static Options of(Map<String, Object> values) {
        return Options.DEFAULTS.of(new ChercheExt(values));
    }

    @Test
    void aRequestOverridesItsPipeline() {
        Options pipeline = Options.DEFAULTS.override(new HashMap<>(Map.of("rerank", true, "rerank_window", 50)));
        Options own = pipeline.of(new ChercheExt(Map.of("rerank_window", 20, "mode", "shadow", "query_mode", "pruned")));
        assertEquals(20, own.window());
        assertTrue(own.rerank());
        assertEquals(Mode.SHADOW, own.mode());
        assertEquals(QueryMode.QUERY_MODE_PRUNED, own.queryMode());
        assertEquals(MatchSet.AUTO, own.matchSet());
        assertSame(pipeline, pipeline.of(null));
    }

    @Test
    void aPipelineLeavesUnknownKeysToTheClusterAndARequestRejectsThem() {
        Map<String, Object> config = new HashMap<>(Map.of("rerank", true, "other", 1));
        Options.DEFAULTS.override(config);
        assertEquals(Map.of("other", 1), config);
        var error = assertThrows(IllegalArgumentException.class, () -> of(Map.of("other", 1)));
        assertTrue(error.getMessage().startsWith("ext.cherche has unknown keys [other]; known are [match_set, "), error.getMessage());
    }

    @ParameterizedTest
    @CsvSource({
        "mode, maybe",
        "match_set, all",
        "query_mode, deep",
        "rerank, perhaps",
        "rerank_weight, 1.5",
        "rerank_weight, NaN",
        "rerank_window, 1001",
        "rerank_window, -1",
        "sparse_boost, 0",
        "sample, 2",
        "query_terms, many",
    })
    void wrongValuesNameTheirKey(String key, String value) {
        var error = assertThrows(IllegalArgumentException.class, () -> of(Map.of(key, value)));
        assertTrue(error.getMessage().contains(key), error.getMessage());
    }
}
