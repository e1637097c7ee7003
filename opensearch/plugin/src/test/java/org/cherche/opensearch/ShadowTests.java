package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.PrepareQueryResponse;
import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;

class ShadowTests {

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    @Test
    void overlapIsTheShareOfTheLongerList() {
        assertEquals(1.0, Shadow.overlap(List.of(), List.of()));
        assertEquals(0.5, Shadow.overlap(List.of("a", "b"), List.of("b")));
        assertEquals(0.5, Shadow.overlap(List.of("b"), List.of("a", "b")));
        assertEquals(0.0, Shadow.overlap(List.of("a"), List.of("b")));
    }

    @Test
    void theReportHasBothOrders() {
        SearchResponse page = TestNode.response(TestNode.hit("b"), TestNode.hit("c"));
        page = Pages.with(page, page.getHits(), new ChercheExt(Map.of("rerank_status", "APPLIED")));
        assertEquals(
            Map.of(
                "index", "books", "query", "6ccd", "shown", List.of("a", "b"), "hybrid", List.of("b", "c"), "overlap", 0.5,
                "shown_ms", 3L, "hybrid_ms", 9L, "rerank_status", "APPLIED"
            ),
            Shadow.report(new Shadow.Searched("books", "6ccd"), List.of("a", "b"), 3, page, 9)
        );
        assertEquals("", Shadow.report(new Shadow.Searched("", ""), List.of(), 3, TestNode.response(), 9).get("rerank_status"));
    }

    @Test
    void aQueryIsNamedByTheKeyThatPythonJoinsBy() throws Exception {
        for (Map<String, Object> vector : Contract.vectors("shadow.json")) {
            assertEquals(vector.get("key"), Shadow.key((String) vector.get("text")), vector.toString());
        }
    }

    @Test
    void theSearchIsRepeatedWithoutItsPipeline() throws Exception {
        String clause = "{\"term\": {\"sparse\": \"clause\"}}";
        test.prepareQuery = request -> PrepareQueryResponse.newBuilder().setClauseJson(ByteString.copyFromUtf8(clause)).build();
        var searched = new CountDownLatch(1);
        test.search = request -> {
            searched.countDown();
            return TestNode.response(TestNode.hit("b"));
        };
        var source = new SearchSourceBuilder().query(QueryBuilders.matchQuery("text", "car")).searchPipelineSource(Map.of("a", "b"));
        var request = new SearchRequest("books").source(source);
        Options options = Options.DEFAULTS.override(new HashMap<>(Map.of("mode", "shadow")));
        test.node.shadow().compare(request, TestNode.response(TestNode.hit("a")), options, new Reranker.Settings(null, true, true));
        assertTrue(searched.await(30, TimeUnit.SECONDS));
        SearchRequest repeated = test.searches.get(0);
        assertEquals("_none", repeated.pipeline());
        assertEquals(null, repeated.source().searchPipelineSource());
        assertTrue(repeated.source().query().toString().contains("clause"), repeated.source().query().toString());
        assertEquals(QueryBuilders.matchQuery("text", "car"), source.query(), "the user's request is unchanged");
        assertEquals(Map.of("a", "b"), source.searchPipelineSource());
        assertEquals(1, test.count(Count.SHADOW_SEARCHES));
    }
}
