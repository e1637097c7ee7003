package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.opensearch.Version;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.common.settings.Settings;

class IndexSetupTests {

    private static final Map<String, Object> META = Map.of(
        "fields", List.of(Map.of("name", "title"), Map.of("name", "body.text")),
        "rerank", Map.of("weight", 0.25, "window", 80),
        "fingerprint", Map.of("sparse", "s", "codes", "c"),
        "codec", "pool2+int8"
    );

    private static IndexMetadata index(String uuid, String mapping) throws IOException {
        Settings settings = Settings.builder()
            .put(IndexMetadata.SETTING_VERSION_CREATED, Version.CURRENT)
            .put(IndexMetadata.SETTING_INDEX_UUID, uuid)
            .put(IndexMetadata.SETTING_NUMBER_OF_SHARDS, 1)
            .put(IndexMetadata.SETTING_NUMBER_OF_REPLICAS, 0)
            .build();
        var builder = IndexMetadata.builder("books").settings(settings);
        return (mapping == null ? builder : builder.putMapping(mapping)).build();
    }

    private static String mapping() {
        return "{\"_meta\": {\"cherche\": " + IndexSetup.json(META).toStringUtf8() + "}}";
    }

    @Test
    void readsWhatThePluginNeeds() {
        IndexSetup setup = IndexSetup.parse(META);
        assertEquals(List.of("title", "body.text"), setup.fields());
        assertEquals(80, setup.window());
        assertEquals(0.25, setup.weight());
        assertEquals("pool2+int8", setup.codec());
        assertTrue(setup.hasCodes());
        assertTrue(setup.json().toStringUtf8().contains("\"window\":80"));
    }

    @Test
    void knowsWhetherPartialUpdatesLoseWeights() throws IOException {
        assertFalse(IndexSetup.of(index("lean0", mapping())).isLean());
        for (String pattern : new String[] { "cherche_terms", "cherche_*" }) {
            String source = "{\"_source\": {\"excludes\": [\"secret\", \"" + pattern + "\"]}, ";
            assertTrue(IndexSetup.of(index("lean " + pattern, source + mapping().substring(1))).isLean());
        }
    }

    private static Map<String, Object> noted(String properties, boolean over, String hash, String state) throws IOException {
        String json = "{\"properties\": {" + properties + "}, " + mapping().substring(1);
        IndexSetup setup = IndexSetup.of(index("noted " + properties, json));
        Map<String, Object> source = new HashMap<>();
        if (over) {
            setup.noteOver(source, hash, state);
        } else {
            setup.note(source, hash, state);
        }
        return source;
    }

    @Test
    void hashAndStateAreWrittenAsTheContractSays() throws Exception {
        for (Map<String, Object> vector : Contract.vectors("bookkeeping.json")) {
            String hash = vector.get("hash").equals("") ? null : (String) vector.get("hash");
            String mapped = "\"cherche_digest\": {\"type\": \"binary\"}, \"cherche_status\": {\"type\": \"object\"}";
            assertEquals(vector.get("fields"), noted(mapped, false, hash, (String) vector.get("state")));
        }
    }

    @Test
    void anIndexOfAnEarlierReleaseHasKeywordsUntilItIsSetUpAgain() throws IOException {
        String old = "\"cherche_hash\": {\"type\": \"keyword\"}, \"cherche_state\": {\"type\": \"keyword\"}";
        Map<String, Object> keywords = Map.of("cherche_hash", "h", "cherche_state", "ok");
        assertEquals(keywords, noted(old, false, "h", "ok"));
        assertEquals(keywords, noted(old, true, "h", "ok"));
        String both = old + ", \"cherche_status\": {\"type\": \"object\"}";
        Map<String, Object> moved = new HashMap<>();
        moved.put("cherche_hash", null);
        moved.put("cherche_state", null);
        moved.put("cherche_digest", "h");
        moved.put("cherche_status", List.of(Map.of("ok", 1)));
        assertEquals(moved, noted(both, true, "h", "ok"));
    }

    @Test
    void anIndexWithoutARerankerHasNoCodes() {
        for (Object codes : new Object[] { "", null }) {
            Map<String, Object> fingerprint = new HashMap<>();
            fingerprint.put("codes", codes);
            Map<String, Object> meta = new HashMap<>(META);
            meta.put("fingerprint", fingerprint);
            assertFalse(IndexSetup.parse(meta).hasCodes());
        }
    }

    @Test
    void anIndexThatIsNotSetUpHasNoSetup() throws IOException {
        assertNull(IndexSetup.of(index("u1", null)));
        assertNull(IndexSetup.of(index("u2", "{}")));
        assertNull(IndexSetup.of(index("u3", "{\"_meta\": {\"other\": {}}}")));
    }

    @Test
    void aMappingIsReadOnce() throws IOException {
        IndexSetup setup = IndexSetup.of(index("u4", mapping()));
        assertEquals(80, setup.window());
        assertSame(setup, IndexSetup.of(index("u4", mapping())));
    }

    @Test
    void aSetupThatCannotBeReadIsNoneAndNamesTheIndexAndTheNextStep() throws IOException {
        for (String foreign : new String[] { "{\"owner\": \"us\"}", "{\"fields\": 3}", "{\"fields\": [], \"rerank\": null}" }) {
            IndexMetadata index = index("foreign " + foreign, "{\"_meta\": {\"cherche\": " + foreign + "}}");
            assertNull(IndexSetup.of(index));
            assertEquals(
                "index [books] has a _meta.cherche that this plugin cannot read: run cherche remove books, then cherche setup books",
                IndexSetup.problem(index)
            );
        }
        assertEquals("", IndexSetup.problem(index("u1", null)));
        assertEquals("", IndexSetup.problem(index("u4", mapping())));
    }
}
