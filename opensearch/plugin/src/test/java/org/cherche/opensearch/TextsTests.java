package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.opensearch.OpenSearchParseException;
import org.opensearch.ingest.IngestDocument;

class TextsTests {

    private static final IndexSetup SETUP = IndexSetup.parse(
        Map.of(
            "fields", List.of(Map.of("name", "title"), Map.of("name", "body.text")),
            "rerank", Map.of("weight", 0.5, "window", 80),
            "fingerprint", Map.of("sparse", "s", "codes", ""),
            "codec", "int8"
        )
    );

    private static Texts texts(Map<String, Object> fieldMap) {
        return Texts.read("t", "tag", new HashMap<>(Map.of("field_map", new HashMap<>(fieldMap))));
    }

    private static IngestDocument document(Map<String, Object> source) {
        return new IngestDocument("index", "id", null, null, null, new HashMap<>(source));
    }

    @Test
    void readsFieldsAsAFeedDoes() {
        List<Map<String, Object>> vectors = Contract.vectors("texts.json");
        assertTrue(vectors.size() > 9);
        for (Map<String, Object> vector : vectors) {
            assertEquals(vector.get("value"), Texts.at((Map<?, ?>) vector.get("source"), (String) vector.get("field")), vector.toString());
        }
    }

    @Test
    void countsTheValuesOfAFieldAsPassagesDo() {
        for (Map<String, Object> vector : Contract.vectors("texts.json")) {
            assertEquals(vector.get("values"), Texts.values((Map<?, ?>) vector.get("source"), (String) vector.get("field")), vector.toString());
        }
    }

    @Test
    void onlyEncodedFieldsLeaveTheCluster() {
        Map<String, Object> source = Map.of("title", "a", "secret", "b", "body", Map.of("text", "c", "secret", "d"));
        assertEquals(Map.of("title", "a", "body.text", "c"), Texts.of(source, SETUP));
        assertEquals(Map.of(), Texts.of(Map.of("body", List.of()), SETUP));
        assertEquals(Map.of("title", List.of("a"), "body.text", List.of("c")), Texts.values(source, SETUP));
        assertEquals(Map.of(), Texts.values(Map.of("body", List.of()), SETUP));
    }

    @Test
    void aMapCopiesTextIntoTheEncodedFields() {
        Texts texts = texts(Map.of("headline", "title", "chapters", Map.of("body", "body.text")));
        IngestDocument document = document(
            Map.of("headline", "a", "chapters", List.of(Map.of("body", "b"), Map.of("body", List.of("c", "d"))))
        );
        texts.map(document, SETUP);
        assertEquals(Map.of("title", "a", "body.text", List.of("b", "c", "d")), Texts.of(document.getSourceAndMetadata(), SETUP));
        assertEquals(List.of("b", "c", "d"), document.getFieldValue("body.text", List.class));
    }

    @Test
    void whatIsNotThereLeavesTheFieldAsItIs() {
        IngestDocument document = document(Map.of("title", "own"));
        texts(Map.of("headline", "title")).map(document, SETUP);
        assertEquals("own", document.getSourceAndMetadata().get("title"));
        texts(Map.of("title", "title")).map(document, SETUP);
        assertEquals("own", document.getSourceAndMetadata().get("title"));
        Texts.read("t", "tag", new HashMap<>()).map(document, SETUP);
    }

    @Test
    void aFieldThatIsNotEncodedIsRejected() {
        var texts = texts(Map.of("headline", "heading"));
        var error = assertThrows(IllegalArgumentException.class, () -> texts.map(document(Map.of()), SETUP));
        assertTrue(error.getMessage().contains("the index encodes [title, body.text]"), error.getMessage());
    }

    @Test
    void anInvalidMapIsRejectedWhenThePipelineIsCreated() {
        for (Object wrong : List.of(3, " ", List.of("title"))) {
            assertThrows(OpenSearchParseException.class, () -> texts(Map.of("headline", wrong)));
        }
        assertThrows(OpenSearchParseException.class, () -> texts(Map.of("a", "title", "b", "title")));
        assertThrows(OpenSearchParseException.class, () -> texts(Map.of(" ", "title")));
    }
}
