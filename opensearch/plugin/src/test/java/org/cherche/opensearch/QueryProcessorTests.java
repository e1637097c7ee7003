package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Plugin.QueryEmbeddings;
import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
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
        SearchRequest request = request(Map.of("query_mode", "pruned", "query_terms", 5));
        SearchState state = process(Map.of("query_terms", 9, "sparse_boost", 2), request);
        assertEquals("REWRITTEN", state.queryStatus);
        var sent = (PrepareQueryRequest) test.calls.get(0);
        assertEquals(List.of(5, 2.0), List.of(sent.getQueryTerms(), sent.getSparseBoost()));
        assertEquals(List.of(), request.source().ext());
    }

    @Test
    void anInvalidOptionFailsTheRequest() {
        var error = assertThrows(ExecutionException.class, () -> process(Map.of(), request(Map.of("rerank_weight", 7))));
        assertEquals("[rerank_weight] has the invalid value [7]: it must be within [0.0, 1.0]", error.getCause().getMessage());
    }

    @Test
    void shadowModeLeavesTheSearchAsWritten() throws Exception {
        SearchRequest request = request(null);
        SearchState state = process(Map.of("mode", "shadow"), request);
        assertTrue(state.shadow);
        assertEquals(List.of("SHADOW", "SHADOW"), List.of(state.queryStatus, state.rerankStatus));
        SearchRequest plain = request(null);
        OwnFields.hide(plain);
        assertEquals(plain, request);
        assertFalse(process(Map.of("mode", "shadow", "sample", 0), request(null)).shadow);
        test.settings.applySettings(Settings.builder().put("plugins.cherche.enabled", false).build());
        assertFalse(process(Map.of("mode", "shadow"), request(null)).shadow);
        assertEquals(List.of(), test.calls);
    }

    @ParameterizedTest
    @CsvSource({ "books, true", "'far:books,books', false" })
    void aSearchThatSpansClustersIsPlain(String indices, boolean isForOthers) throws Exception {
        SearchRequest request = request(null).indices(indices.split(","));
        var running = new SearchFilter.Running(isForOthers);
        SearchState state = within(running, () -> process(Map.of("rerank", true), request));
        assertEquals(List.of("CROSS_CLUSTER", "CROSS_CLUSTER"), List.of(state.queryStatus, state.rerankStatus));
        SearchRequest plain = request(null);
        OwnFields.hide(plain);
        assertEquals(plain.source(), request.source());
        assertEquals(List.of(), test.calls);
    }

    @Test
    void whatAPatternBringsIsHiddenInTheResponseOfTheSearchAround() throws Exception {
        var running = new SearchFilter.Running(false);
        SearchRequest request = request(Map.of("mode", "off"));
        request.source().fetchField("cherche_d*");
        within(running, () -> process(Map.of(), request));
        assertEquals(Set.of(IndexSetup.HASH), running.hidden());
    }

    @Test
    void innerSearchesRunAsTheOneAroundThem() throws Exception {
        SearchRequest outer = request(Map.of("mode", "off"));
        outer.source().collapse(new CollapseBuilder("year").setInnerHits(new InnerHitBuilder("same")));
        assertEquals("OFF", process(Map.of("rerank", true), outer).queryStatus);
        var repeated = QueryBuilders.boolQuery().filter(QueryBuilders.termQuery("year", 2020)).must(outer.source().query());
        SearchRequest inner = new SearchRequest("books").source(new SearchSourceBuilder().query(repeated));
        SearchState state = process(Map.of("rerank", true), inner);
        assertEquals(List.of("INNER_HITS", "INNER_HITS"), List.of(state.queryStatus, state.rerankStatus));
        assertEquals(repeated, inner.source().query());
        assertEquals(List.of(), test.calls);
    }

    @Test
    void theEndOfASearchReleasesItsPartOfTheBudget() throws Exception {
        var embeddings = QueryEmbeddings.newBuilder().setData(ByteString.copyFrom(new byte[4])).setTokens(1).setDim(1);
        test.prepareQuery = request -> PrepareQueryResponse.newBuilder().setEmbeddings(embeddings).build();
        var running = new SearchFilter.Running(false);
        Map<String, Object> pipeline = Map.of("rerank", true, "maxsim", "sidecar");
        assertEquals(10, within(running, () -> process(pipeline, request(null))).window);
        assertTrue(test.reserved() > 0);
        running.end();
        assertEquals(0, test.reserved());
        within(running, () -> process(pipeline, request(null)));
        assertEquals(0, test.reserved(), "a search that failed while its query was encoded");
    }

    private <T> T within(SearchFilter.Running running, Callable<T> work) throws Exception {
        try (var ignored = test.pool.getThreadContext().stashContext()) {
            test.pool.getThreadContext().putTransient("cherche_search", running);
            return work.call();
        }
    }

    @Test
    void itIsOnlyCalledAsynchronously() {
        var processor = new QueryProcessor.Factory(() -> test.node).create(Map.of(), "t", "", false, new HashMap<>(), null);
        assertEquals("cherche_query", processor.getType());
        assertThrows(UnsupportedOperationException.class, () -> processor.processRequest(request(null)));
    }
}
