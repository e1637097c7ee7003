package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Search.QueryMode;
import java.util.HashMap;
import java.util.List;
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
        assertTrue(error.getMessage().startsWith("ext.cherche has unknown keys [other]; known are [candidates, "), error.getMessage());
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
        "query_terms, 2.7",
        "first_terms, -1",
        "first_terms, 1025",
        "candidates, 0",
        "candidates, 10001",
        "rerank_window, 2.9",
        "query_mode, unspecified",
        "passages, 11",
        "passages, -1",
    })
    void wrongValuesNameTheirKey(String key, String value) {
        var error = assertThrows(IllegalArgumentException.class, () -> of(Map.of(key, value)));
        assertTrue(error.getMessage().contains(key), error.getMessage());
    }

    @Test
    void aWrongValueIsRefusedWithTheReason() {
        var mode = assertThrows(IllegalArgumentException.class, () -> of(Map.of("mode", "maybe")));
        assertEquals("[mode] has the invalid value [maybe]: it must be one of off, shadow, on", mode.getMessage());
        var window = assertThrows(IllegalArgumentException.class, () -> of(Map.of("rerank", true, "rerank_window", 2.5)));
        assertEquals("[rerank_window] has the invalid value [2.5]: it must be a whole number", window.getMessage());
        for (Object text : List.of(Map.of("a", 1), List.of("a", "b"))) {
            var error = assertThrows(IllegalArgumentException.class, () -> of(Map.of("text", text)));
            assertEquals("[text] has the invalid value [" + text + "]: it must be a string", error.getMessage());
        }
    }

    @Test
    void wholeNumbersAndTextsMayBeWrittenInAnyForm() {
        assertEquals(100, of(Map.of("rerank_window", 1e2)).window());
        assertEquals(20, of(Map.of("rerank_window", "20")).window());
        assertEquals("5", of(Map.of("text", 5)).text());
    }

    private static String withoutEffect(Map<String, Object> values) {
        return assertThrows(IllegalArgumentException.class, () -> of(values)).getMessage();
    }

    @Test
    void aRequestMayNotHaveAnOptionThatTheOthersLeaveWithoutEffect() {
        String end = ": leave it out, or ask for that";
        assertEquals("[query_terms] has no effect without query_mode pruned" + end, withoutEffect(Map.of("query_terms", 8)));
        assertEquals("[sample] has no effect without mode shadow" + end, withoutEffect(Map.of("sample", 0.5)));
        for (String option : List.of("rerank_window", "rerank_weight")) {
            String message = withoutEffect(Map.of("rerank", false, option, 1));
            assertEquals("[" + option + "] has no effect without a rerank" + end, message);
        }
        for (String mode : List.of("off", "shadow")) {
            String message = withoutEffect(Map.of("mode", mode, "passages", 1));
            assertEquals("[passages] has no effect without mode on" + end, message);
        }
        for (String option : List.of("rerank", "text")) {
            String message = withoutEffect(Map.of("mode", "off", option, true));
            assertEquals("[" + option + "] has no effect without mode on or shadow" + end, message);
        }
    }

    @Test
    void whatMayHaveAnEffectIsTaken() {
        Map<String, Object> config = Map.of("query_terms", 8, "rerank", false, "rerank_window", 5, "sample", 0.5);
        Options pipeline = Options.DEFAULTS.override(new HashMap<>(config));
        assertEquals(0, of(Map.of("mode", "off", "passages", 0)).passages().count());
        assertEquals(8, pipeline.of(new ChercheExt(Map.of("query_mode", "pruned"))).queryTerms());
        assertEquals(5, pipeline.of(new ChercheExt(Map.of("rerank", true))).window());
        assertEquals(0.5, pipeline.of(new ChercheExt(Map.of("mode", "shadow"))).sample());
        var pruned = Options.DEFAULTS.override(new HashMap<>(Map.of("query_mode", "pruned", "mode", "off")));
        assertEquals(3, pruned.of(new ChercheExt(Map.of("query_terms", 3))).queryTerms());
        assertEquals(Mode.OFF, pruned.of(new ChercheExt(Map.of("text", "car", "rerank", true, "rerank_window", 5))).mode());
        assertEquals(Mode.OFF, of(Map.of("mode", "off", "rerank", false)).mode());
        var shadow = Options.DEFAULTS.override(new HashMap<>(Map.of("mode", "shadow")));
        assertEquals(2, shadow.of(new ChercheExt(Map.of("passages", 2))).passages().count());
    }
}
