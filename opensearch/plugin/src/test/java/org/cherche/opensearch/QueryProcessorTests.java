package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.pipeline.PipelineProcessingContext;

class QueryProcessorTests {

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    private static SearchRequest request(Map<String, Object> ext) {
        var source = new SearchSourceBuilder().query(QueryBuilders.matchQuery("text", "car"));
        return new SearchRequest("books").source(ext == null ? source : source.ext(List.of(new ChercheExt(ext))));
    }

    /** Runs the processor of a pipeline; the state that it leaves for the response side. */
    private SearchState process(Map<String, Object> pipeline, SearchRequest request) throws Exception {
        var processor = new QueryProcessor.Factory(() -> test.node).create(Map.of(), "t", "", false, new HashMap<>(pipeline), null);
        var context = new PipelineProcessingContext();
        assertEquals(request, TestNode.<SearchRequest>await(then -> processor.processRequestAsync(request, context, then)));
        return (SearchState) context.getAttribute(SearchState.ATTRIBUTE);
    }

    @Test
    void optionsOfTheRequestOverrideThoseOfThePipeline() throws Exception {
        var clause = ByteString.copyFromUtf8("{\"match_all\": {}}");
        test.prepareQuery = request -> PrepareQueryResponse.newBuilder().setClauseJson(clause).build();
        SearchRequest request = request(Map.of("query_terms", 5));
        SearchState state = process(Map.of("query_terms", 9, "sparse_boost", 2), request);
        assertEquals("REWRITTEN", state.queryStatus);
        var sent = (PrepareQueryRequest) test.calls.get(0);
        assertEquals(List.of(5, 2.0), List.of(sent.getQueryTerms(), sent.getSparseBoost()));
        assertEquals(List.of(), request.source().ext());
    }

    @Test
    void anInvalidOptionFailsTheRequest() {
        var error = assertThrows(ExecutionException.class, () -> process(Map.of(), request(Map.of("rerank_weight", 7))));
        assertEquals("[rerank_weight] has the invalid value [7]", error.getCause().getMessage());
    }

    @Test
    void shadowModeLeavesTheSearchAsWritten() throws Exception {
        SearchRequest request = request(null);
        SearchState state = process(Map.of("mode", "shadow"), request);
        assertTrue(state.shadow);
        assertEquals(List.of("SHADOW", "SHADOW"), List.of(state.queryStatus, state.rerankStatus));
        assertEquals(request(null), request);
        assertFalse(process(Map.of("mode", "shadow", "sample", 0), request(null)).shadow);
        test.settings.applySettings(Settings.builder().put("plugins.cherche.enabled", false).build());
        assertFalse(process(Map.of("mode", "shadow"), request(null)).shadow);
        assertEquals(List.of(), test.calls);
    }

    @Test
    void itIsOnlyCalledAsynchronously() {
        var processor = new QueryProcessor.Factory(() -> test.node).create(Map.of(), "t", "", false, new HashMap<>(), null);
        assertEquals("cherche_query", processor.getType());
        assertThrows(UnsupportedOperationException.class, () -> processor.processRequest(request(null)));
    }
}
