package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.bulk.BulkAction;
import org.opensearch.action.bulk.BulkRequest;
import org.opensearch.action.index.IndexRequest;
import org.opensearch.action.update.UpdateAction;
import org.opensearch.action.update.UpdateRequest;
import org.opensearch.core.common.bytes.BytesArray;
import org.opensearch.core.xcontent.MediaTypeRegistry;
import org.opensearch.script.Script;

class PartialUpdatesTests {

    private static final Object PENDING = List.of(Map.of("pending", 1));

    private final TestNode test = new TestNode();
    private final PartialUpdates filter = new PartialUpdates(() -> test.node);
    private String pipeline = null;

    @AfterEach
    void close() {
        test.close();
    }

    /** What is done with a partial document that a bulk sends. */
    private Map<String, Object> marked(String index, boolean upsert, Map<String, Object> part) {
        var update = new UpdateRequest(index, "1").doc(part).docAsUpsert(upsert);
        update.doc().setPipeline(pipeline);
        assertTrue(filter.apply(BulkAction.NAME, new BulkRequest().add(update), null));
        return update.doc().sourceAsMap();
    }

    @Test
    void anotherTextMakesADocumentWaitAndTakesTheOldWeightsAway() {
        Map<String, Object> part = marked("books", false, Map.of("text", "new"));
        assertEquals(PENDING, part.get(IndexSetup.STATE));
        assertTrue(part.containsKey(IndexSetup.HASH));
        assertNull(part.get(IndexSetup.HASH));
        assertEquals(List.of(), part.get(IndexSetup.WEIGHTS));
        assertEquals("new", part.get("text"));
    }

    @Test
    void weightsInTheSourceStayWhereTheTextDoes() {
        assertEquals(Map.of("views", 2), marked("books", false, Map.of("views", 2)));
        assertEquals(Map.of("views", 2), marked("books", true, Map.of("views", 2)));
        assertEquals(Map.of("views", 2), marked("books", false, Map.of("views", 2, IndexSetup.STATE, "ok")));
    }

    @Test
    void aPathToAnEncodedFieldIsFoundHoweverItIsWritten() {
        for (String key : new String[] { "text", "text.en" }) {
            assertEquals(PENDING, marked("books", false, Map.of(key, "new")).get(IndexSetup.STATE), key);
        }
        assertFalse(marked("books", false, Map.of("texts", "new")).containsKey(IndexSetup.STATE));
    }

    @Test
    void whatMayBeInsertedIsNoWholeDocumentForThePipeline() {
        pipeline = "theirs";
        Map<String, Object> part = marked("books", true, Map.of("text", "new", IndexSetup.STATE, "ok"));
        assertTrue(IndexSetup.isPartial(part));
        assertNull(part.get(IndexSetup.HASH));
        PartialUpdates.settle(part, test.node.setupForWriting("books"));
        assertEquals(marked("books", false, Map.of("text", "new")), part);
    }

    @Test
    void aFieldThatThePipelineFillsIsSeenThere() {
        pipeline = "theirs";
        Map<String, Object> part = marked("books", true, Map.of("headline", "new"));
        assertEquals(Map.of("headline", "new", IndexSetup.STATE, List.of(Map.of("pending", 1), Map.of("partial", 1))), part);
        Map<String, Object> mapped = new HashMap<>(part);
        mapped.put("text", "new");
        PartialUpdates.settle(mapped, test.node.setupForWriting("books"));
        assertEquals(PENDING, mapped.get(IndexSetup.STATE));
        PartialUpdates.settle(part, test.node.setupForWriting("books"));
        assertEquals(Map.of("headline", "new"), part);
    }

    @Test
    void whatAScriptChangesOnItsWayInIsNoWholeDocument() {
        for (Map<String, Object> inserted : List.of(Map.<String, Object>of("text", "old"), Map.<String, Object>of())) {
            var update = new UpdateRequest("books", "1").script(new Script("ctx._source.text = 'new'")).upsert(inserted);
            update.upsertRequest().setPipeline("theirs");
            filter.apply(BulkAction.NAME, new BulkRequest().add(update), null);
            assertEquals(inserted, update.upsertRequest().sourceAsMap(), "inserted as it is");
            update.scriptedUpsert(true);
            filter.apply(BulkAction.NAME, new BulkRequest().add(update), null);
            assertTrue(IndexSetup.isPartial(update.upsertRequest().sourceAsMap()));
        }
    }

    @Test
    void aPartWithoutFieldsIsNoDocumentWithoutText() {
        assertEquals(Map.of(), marked("books", true, Map.of()));
        pipeline = "theirs";
        Map<String, Object> part = marked("books", true, Map.of());
        assertTrue(IndexSetup.isPartial(part));
        PartialUpdates.settle(part, test.node.setupForWriting("books"));
        assertEquals(Map.of(), part);
    }

    @Test
    void withoutAPipelineNoMarkIsLeftBehind() {
        for (String none : new String[] { null, "_none" }) {
            pipeline = none;
            assertEquals(PENDING, marked("books", true, Map.of("text", "new")).get(IndexSetup.STATE));
            assertEquals(Map.of("views", 2), marked("books", true, Map.of("views", 2)));
        }
    }

    @Test
    void anIndexOfAnEarlierReleaseIsMarkedInItsKeywords() {
        Map<String, Object> part = marked("old", false, Map.of("text", "new"));
        assertEquals(List.of("pending", ""), List.of(part.get(IndexSetup.OLD_STATE), part.get(IndexSetup.OLD_HASH)));
        assertFalse(part.containsKey(IndexSetup.STATE));
        pipeline = "theirs";
        part = marked("old", true, Map.of("text", "new"));
        assertTrue(IndexSetup.isPartial(part));
        PartialUpdates.settle(part, test.node.setupForWriting("old"));
        assertEquals(marked("old", false, Map.of("text", "new")), part);
    }

    @Test
    void aBackfillsOwnUpdatesAreLeftAlone() {
        Map<String, Object> ours = Map.of(IndexSetup.HASH, "h", IndexSetup.STATE, "ok", IndexSetup.TERMS, "t");
        assertEquals(ours, marked("books", false, ours));
    }

    @Test
    void whatIsNoObjectFailsAloneLater() {
        var bulk = new BulkRequest();
        for (String part : new String[] { "\"text\"", "[1]", "{\"text\"" }) {
            bulk.add(new UpdateRequest("books", "1").doc(new BytesArray(part), MediaTypeRegistry.JSON));
        }
        assertTrue(filter.apply(BulkAction.NAME, bulk, null));
    }

    @Test
    void otherIndicesAndRequestsAreLeftAlone() {
        Map<String, Object> part = Map.of("text", "new");
        for (String index : new String[] { "plain", "missing", "broken" }) {
            assertEquals(part, marked(index, false, part), index);
        }
        var bulk = new BulkRequest().add(new IndexRequest("books").id("1").source(new HashMap<>(part)));
        assertTrue(filter.apply(BulkAction.NAME, bulk, null));
        assertEquals(part, ((IndexRequest) bulk.requests().get(0)).sourceAsMap());
        var update = new UpdateRequest("books", "1").doc(part);
        assertTrue(filter.apply(UpdateAction.NAME, update, null));
        assertEquals(part, update.doc().sourceAsMap());
    }
}
