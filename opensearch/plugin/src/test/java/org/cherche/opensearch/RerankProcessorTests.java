package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.QueryEmbeddings;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.pipeline.PipelineProcessingContext;
import org.opensearch.search.pipeline.SearchResponseProcessor;

class RerankProcessorTests {

    private final TestNode test = new TestNode();
    private final SearchRequest request = new SearchRequest("plain").source(new SearchSourceBuilder().query(QueryBuilders.matchAllQuery()));

    @AfterEach
    void close() {
        test.close();
    }

    private SearchResponseProcessor processor(Map<String, Object> config) throws Exception {
        return new RerankProcessor.Factory(() -> test.node).create(Map.of(), "t", "", false, new HashMap<>(config), null);
    }

    private Map<String, Object> process(Map<String, Object> config, SearchState state) throws Exception {
        var context = new PipelineProcessingContext();
        if (state != null) {
            context.setAttribute(SearchState.ATTRIBUTE, state);
        }
        SearchResponseProcessor processor = processor(config);
        SearchResponse found = TestNode.response(TestNode.hit("a"));
        SearchResponse page = TestNode.await(then -> processor.processResponseAsync(request, found, context, then));
        assertEquals(List.of("a"), TestNode.ids(page));
        return ChercheExt.in(page.getInternalResponse().getSearchExtBuilders()).values();
    }

    private SearchState reranked() {
        var state = new SearchState(Options.DEFAULTS, test.node.setupForWriting("books"), 0, 10).notRewritten("REWRITTEN", "");
        state.window = 5;
        state.embeddings = QueryEmbeddings.getDefaultInstance();
        return state;
    }

    @Test
    void withoutTheRequestProcessorThePageSaysWhatIsMissing() throws Exception {
        Map<String, Object> ext = process(Map.of(), null);
        assertEquals("NOT_PREPARED", ext.get("query_status"));
        assertEquals("NOT_PREPARED", ext.get("rerank_status"));
        assertEquals("add cherche_query to the pipeline's request_processors", ext.get("rerank_reason"));
    }

    @Test
    void theOptionsOfThePipelineReachTheReranker() throws Exception {
        test.stopSidecar();
        assertEquals("DEADLINE", process(Map.of("deadline", "1ms"), reranked()).get("rerank_status"));
        var error = assertThrows(ExecutionException.class, () -> process(Map.of("fail_closed", true, "deadline", "1ms"), reranked()));
        assertTrue(error.getCause().getMessage().startsWith("cherche_rerank: "), error.getCause().getMessage());
    }

    @Test
    void aShadowSearchStartsBesideThePage() throws Exception {
        var state = new SearchState(Options.DEFAULTS, null, 0, 10).leftAsWritten("SHADOW", "");
        assertEquals("SHADOW", process(Map.of(), state).get("rerank_status"));
        assertEquals(0, test.count(Count.SHADOW_SEARCHES));
        state.shadow = true;
        process(Map.of(), state);
        assertEquals(1, test.count(Count.SHADOW_SEARCHES));
    }

    @Test
    void passagesAreAddedToThePageWhateverOrdersIt() throws Exception {
        Options options = Options.DEFAULTS.override(new HashMap<>(Map.of("passages", 1)));
        var state = new SearchState(options, null, 0, 10).leftAsWritten("NO_TEXT", "why");
        Map<String, Object> ext = process(Map.of(), state);
        assertEquals("NO_TEXT", ext.get("rerank_status"));
        assertEquals("NO_TEXT", ext.get("passages_status"));
        assertEquals("why", ext.get("passages_reason"));
    }

    @Test
    void itIsOnlyCalledAsynchronously() throws Exception {
        assertEquals("cherche_rerank", processor(Map.of()).getType());
        assertThrows(UnsupportedOperationException.class, () -> processor(Map.of()).processResponse(request, TestNode.response()));
    }
}
