package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.GetQueryTableResponse;
import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Plugin.QueryEmbeddings;
import cherche.v1.Search.QueryMode;
import cherche.v1.Search.RerankStatus;
import cherche.v1.Search.SparseOutcome;
import cherche.v1.Search.SparseStatus;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.settings.Settings;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.MatchQueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.index.query.TermQueryBuilder;
import org.opensearch.script.Script;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.fetch.subphase.FieldAndFormat;
import org.opensearch.search.rescore.QueryRescorerBuilder;

class QueryRewriterTests {

    private static final String CLAUSE = "{\"term\": {\"sparse\": {\"value\": \"clause\", \"_name\": \"internal\"}}}";
    private static final TermQueryBuilder SPARSE = QueryBuilders.termQuery("sparse", "clause");

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    private static MatchQueryBuilder match() {
        return QueryBuilders.matchQuery("text", "red car");
    }

    private static SearchRequest request(String index) {
        return new SearchRequest(index).source(new SearchSourceBuilder().query(match()));
    }

    private static PrepareQueryResponse.Builder prepared() {
        return PrepareQueryResponse.newBuilder()
            .setClauseJson(ByteString.copyFromUtf8(CLAUSE))
            .setTerms(3)
            .setEmbeddings(QueryEmbeddings.newBuilder().setData(ByteString.copyFrom(new byte[4])).setTokens(1).setDim(1));
    }

    private SearchState rewrite(SearchRequest request, Map<String, Object> options) throws Exception {
        Options own = Options.DEFAULTS.override(new HashMap<>(options));
        return TestNode.await(then -> test.node.rewriter().rewrite(request, own, then));
    }

    private PrepareQueryRequest sent(int call) {
        return (PrepareQueryRequest) test.calls.get(call);
    }

    @Test
    void theSparseClauseIsAddedToTheUsersQuery() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of("match_set", "lexical", "query_mode", "pruned", "query_terms", 8, "sparse_boost", 0.5));
        var hybrid = (BoolQueryBuilder) request.source().query();
        assertEquals(List.of(match()), hybrid.must());
        assertEquals(List.of(SPARSE), hybrid.should(), "without the clause's internal name");
        assertEquals(List.of("REWRITTEN", "", 3), List.of(state.queryStatus, state.queryReason, state.terms));
        assertEquals("NOT_REQUESTED", state.rerankStatus);
        assertEquals("red car", sent(0).getText());
        assertEquals(QueryMode.QUERY_MODE_PRUNED, sent(0).getQueryMode());
        assertEquals(List.of(8, 0.5), List.of(sent(0).getQueryTerms(), sent(0).getSparseBoost()));
        assertEquals(1024 - 128, sent(0).getMaxClauses());
        assertFalse(sent(0).getEmbeddings());
        assertEquals(test.node.setupForWriting("books").json(), sent(0).getMetaJson());
        assertEquals(1, test.count(Count.QUERIES_REWRITTEN));
    }

    @Test
    void aUnionKeepsMinScoreOutOfTheUsersQuery() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest union = request("books");
        union.source().minScore(2);
        rewrite(union, Map.of("match_set", "union"));
        assertEquals(List.of(match(), SPARSE), ((BoolQueryBuilder) union.source().query()).should());
        assertEquals(2, union.source().minScore());
        SearchRequest lexical = request("books");
        lexical.source().minScore(2);
        rewrite(lexical, Map.of());
        var users = ((BoolQueryBuilder) lexical.source().query()).must().get(0);
        assertEquals(QueryBuilders.functionScoreQuery(match()).setMinScore(2), users);
        assertTrue(lexical.source().minScore() < 0);
    }

    @Test
    void fewTermsFindCandidatesThatAllTermsScore() throws Exception {
        String heavy = "{\"term\": {\"sparse\": {\"value\": \"heavy\", \"boost\": 2.0}}}";
        String light = heavy.replace("heavy", "light").replace("2.0", "1.0");
        String both = "{\"bool\": {\"should\": [" + heavy + ", " + light + "]}}";
        test.prepareQuery = request -> prepared().setClauseJson(ByteString.copyFromUtf8(both)).setTerms(2).build();
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of("first_terms", 1, "candidates", 200));
        var first = QueryBuilders.boolQuery().should(QueryBuilders.termQuery("sparse", "heavy").boost(2));
        var others = QueryBuilders.boolQuery().should(QueryBuilders.termQuery("sparse", "light"));
        assertEquals(List.of(match(), first), ((BoolQueryBuilder) request.source().query()).should());
        assertEquals(List.of(new QueryRescorerBuilder(others).windowSize(200)), request.source().rescores());
        assertEquals(List.of(2, 1, ""), List.of(state.terms, state.firstTerms, state.queryReason));
        assertEquals(1, state.toMap().get("first_terms"));

        SearchRequest counted = request("books");
        counted.source().trackTotalHits(true);
        SearchState one = rewrite(counted, Map.of("first_terms", 1));
        assertNull(counted.source().rescores());
        assertEquals("all terms found hits, not only the heaviest: the request counts all hits", one.queryReason);
        assertFalse(one.toMap().containsKey("first_terms"));
        SearchRequest usual = request("books");
        assertEquals("", rewrite(usual, Map.of()).queryReason);
        assertNull(usual.source().rescores(), "an index that does not ask for it");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "not JSON | 4 | 1 | 1 | a clause that is not a query",
        "{\"no_such_query\": {}} | 4 | 1 | 1 | a clause that is not a query",
        "[] | 4 | 1 | 1 | a clause that is not a query",
        "'' | 4 | 1 | 2 | have 4 bytes, not 1 x 2 float32",
        "'' | 4 | -1 | -1 | -1 x -1",
        "'' | 0 | 0 | 1 | 0 x 1",
    })
    void aWrongAnswerLeavesTheSearchAsItWasEachTime(String clause, int bytes, int tokens, int dim, String said) throws Exception {
        var embeddings = QueryEmbeddings.newBuilder().setData(ByteString.copyFrom(new byte[bytes])).setTokens(tokens).setDim(dim);
        String json = clause.isEmpty() ? CLAUSE : clause;
        test.prepareQuery = request -> prepared().setClauseJson(ByteString.copyFromUtf8(json)).setEmbeddings(embeddings).build();
        for (int attempt = 1; attempt <= 2; attempt++) { // a cached one must not fail the second search
            SearchRequest request = request("books");
            SearchState state = rewrite(request, Map.of("rerank", true));
            assertEquals(List.of("UNAVAILABLE", "UNAVAILABLE", 0), List.of(state.queryStatus, state.rerankStatus, state.window));
            assertTrue(state.queryReason.contains(said), state.queryReason);
            assertEquals(request("books"), request, "nothing of it was used");
            assertEquals(attempt, test.calls.size());
        }
    }

    @Test
    void embeddingsThatAreNoNumbersAreNotUsed() throws Exception {
        var nan = QueryEmbeddings.newBuilder().setData(ByteString.copyFrom(new byte[] { 0, 0, (byte) 0xc0, 0x7f })).setTokens(1).setDim(1);
        test.prepareQuery = request -> prepared().setEmbeddings(nan).build();
        SearchState state = rewrite(request("books"), Map.of("rerank", true));
        assertEquals("the query embeddings hold NaN or infinite numbers", state.queryReason);
    }

    @Test
    void anAnswerThatIsTooLargeIsNotHeld() throws Exception {
        var large = ByteString.copyFrom(new byte[5 << 20]);
        test.prepareQuery = request -> prepared().addWarningsBytes(large).build();
        SearchState state = rewrite(request("books"), Map.of());
        assertEquals("UNAVAILABLE", state.queryStatus);
        assertTrue(state.queryReason.contains("exceeds maximum size"), state.queryReason);
    }

    @Test
    void theCacheIsBoundedByBytes() throws Exception {
        var warning = ByteString.copyFrom(new byte[200 << 10]);
        test.prepareQuery = request -> prepared().addWarningsBytes(warning).build();
        for (String text : List.of("one", "two", "three", "one")) { // ten entries of 32 KiB hold one of them
            SearchRequest request = new SearchRequest("books").source(new SearchSourceBuilder().query(QueryBuilders.matchQuery("text", text)));
            rewrite(request, Map.of());
        }
        assertEquals(4, test.calls.size());
    }

    @Test
    void aWrongTableAsksTheSidecarForEachQuery() throws Exception {
        test.prepareQuery = request -> prepared().build();
        test.getQueryTable = request -> GetQueryTableResponse.newBuilder().addVocabulary("red").addVocabulary("car").build();
        for (int attempt = 0; attempt < 2; attempt++) {
            SearchState state = rewrite(request("books"), Map.of("query_mode", "doc_only"));
            assertEquals("REWRITTEN", state.queryStatus);
        }
        assertEquals(2, test.calls.size(), "the table once, the query once");
    }

    @Test
    void aQueryIsEncodedOnce() throws Exception {
        test.prepareQuery = request -> prepared().build();
        rewrite(request("books"), Map.of());
        SearchRequest again = request("papers");
        rewrite(again, Map.of());
        assertEquals(1, test.calls.size());
        assertEquals(1, test.count(Count.QUERY_CACHE_HITS));
        assertTrue(again.source().query() instanceof BoolQueryBuilder);
        rewrite(request("books"), Map.of("sparse_boost", 2));
        rewrite(request("films"), Map.of());
        assertEquals(3, test.calls.size(), "another boost and another setup are other queries");
    }

    @Test
    void aWindowOnTheShardsCarriesTheEmbeddings() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest request = request("books");
        request.source().from(3).size(4);
        SearchState state = rewrite(request, Map.of("rerank", true));
        assertTrue(sent(0).getEmbeddings());
        assertTrue(state.onShards);
        assertEquals(List.of(10, 3, 4), List.of(state.window, state.from, state.size));
        assertEquals(List.of(0, 10), List.of(request.source().from(), request.source().size()));
        assertEquals(List.of(MaxSimQuery.of(state.embeddings, 20_000)), request.source().ext());
        assertNull(request.source().docValueFields());
    }

    @ParameterizedTest
    @CsvSource({ "books, sidecar", "films, shards" })
    void otherwiseTheCodesOfTheWindowAreFetched(String index, String maxsim) throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest request = request(index);
        SearchState state = rewrite(request, Map.of("rerank", true, "rerank_window", 30, "maxsim", maxsim));
        assertFalse(state.onShards);
        assertEquals(List.of(30, 30), List.of(state.window, request.source().size()));
        assertEquals(List.of(new FieldAndFormat(IndexSetup.CODES, null)), request.source().docValueFields());
        assertNotNull(state.embeddings);
        state.reservation.release();
    }

    @Test
    void aPageBelowTheWindowIsNotReranked() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest request = request("books");
        request.source().from(10);
        SearchState state = rewrite(request, Map.of("rerank", true));
        assertEquals("OUTSIDE_WINDOW", state.rerankStatus);
        assertEquals("the page starts after the rerank window of 10 hits, so its scores lie below all of those", state.rerankReason);
        assertEquals(10, request.source().from());
        assertFalse(sent(0).getEmbeddings());
    }

    @Test
    void allPagesOfASearchAfterRunOneQueryAndNoRerank() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest first = request("books");
        first.source().sort("_score").sort("year");
        SearchRequest after = request("books");
        after.source().sort("_score").sort("year").searchAfter(new Object[] { 1.5, 2020 });
        for (SearchRequest page : List.of(first, after)) {
            SearchState state = rewrite(page, Map.of("rerank", true));
            assertEquals(List.of("REWRITTEN", "SKIPPED_SORT", 0), List.of(state.queryStatus, state.rerankStatus, state.window));
            assertTrue(state.rerankReason.contains("search_after"), state.rerankReason);
            assertEquals(-1, page.source().size(), "no window is fetched");
        }
        assertEquals(first.source().query(), after.source().query());
        SearchRequest other = request("books");
        other.source().sort("year").searchAfter(new Object[] { 2020 });
        assertEquals("SKIPPED_SORT", rewrite(other, Map.of()).queryStatus);
    }

    @Test
    void aWindowBeyondTheIndexesLimitIsCut() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest request = request("narrow");
        request.source().size(5);
        SearchState state = rewrite(request, Map.of("rerank", true));
        assertEquals(List.of(6, 6), List.of(state.window, request.source().size()));
        assertEquals("the window of 10 hits is cut to index.max_result_window, 6", state.windowCut);
        SearchRequest below = request("narrow");
        below.source().from(6);
        assertEquals("OUTSIDE_WINDOW", rewrite(below, Map.of("rerank", true)).rerankStatus);
        assertEquals("", rewrite(request("narrow"), Map.of("rerank", true, "rerank_window", 6)).windowCut);
    }

    @Test
    void missingEmbeddingsAreNotCached() throws Exception {
        test.prepareQuery = request -> prepared().clearEmbeddings().setEmbeddingsMissing("busy").build();
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of("rerank", true));
        assertEquals("REWRITTEN", state.queryStatus);
        assertEquals(List.of("UNAVAILABLE", "busy", 0), List.of(state.rerankStatus, state.rerankReason, state.window));
        assertEquals(-1, request.source().size(), "the page is not enlarged");
        test.prepareQuery = again -> prepared().build();
        assertNull(rewrite(request("books"), Map.of("rerank", true)).rerankStatus);
    }

    @Test
    void anUnknownLanguageIsCached() throws Exception {
        var sparse = SparseOutcome.newBuilder().setStatus(SparseStatus.SPARSE_STATUS_UNKNOWN_LANGUAGE).setReason("unknown");
        test.prepareQuery = request -> PrepareQueryResponse.newBuilder()
            .setSparse(sparse)
            .setUnreranked(RerankStatus.RERANK_STATUS_UNKNOWN_LANGUAGE)
            .setEmbeddingsMissing("unknown")
            .build();
        for (int search = 0; search < 2; search++) {
            SearchRequest request = request("books");
            SearchState state = rewrite(request, Map.of("rerank", true));
            assertEquals(List.of("UNKNOWN_LANGUAGE", "unknown"), List.of(state.queryStatus, state.queryReason));
            assertEquals("UNKNOWN_LANGUAGE", state.rerankStatus);
            assertEquals(match(), request.source().query());
        }
        assertEquals(1, test.calls.size());
    }

    @Test
    void reasonsOfTheSidecarAreShown() throws Exception {
        test.prepareQuery = request -> prepared().addWarnings("one").addWarnings("two").build();
        assertEquals("one; two", rewrite(request("books"), Map.of()).queryReason);
        test.prepareQuery = request -> prepared().setTermsCut(4).addWarnings("one").build();
        assertEquals("4 terms did not fit the cluster's clause limit", rewrite(request("films"), Map.of()).queryReason);
        test.prepareQuery = request -> prepared().clearClauseJson().build();
        assertEquals("NO_TERMS", rewrite(request("books"), Map.of("sparse_boost", 3)).queryStatus);
    }

    @Test
    void aFailedCallLeavesTheSearchAsWritten() throws Exception {
        test.prepareQuery = request -> { throw Status.UNAVAILABLE.withDescription("gone").asRuntimeException(); };
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of("rerank", true));
        assertEquals(List.of("UNAVAILABLE", "gone"), List.of(state.queryStatus, state.queryReason));
        assertEquals(List.of("UNAVAILABLE", "the query could not be encoded"), List.of(state.rerankStatus, state.rerankReason));
        assertEquals(new SearchSourceBuilder().query(match()), request.source());
        assertEquals(1, test.count(Count.QUERIES_UNTOUCHED));
    }

    @Test
    void whatTheSidecarRefusesIsNoOutage() throws Exception {
        test.prepareQuery = request -> { throw Status.INVALID_ARGUMENT.withDescription("9,000 characters").asRuntimeException(); };
        SearchState state = rewrite(request("books"), Map.of("rerank", true));
        assertEquals(List.of("REFUSED", "9,000 characters", "REFUSED"), List.of(state.queryStatus, state.queryReason, state.rerankStatus));
    }

    @Test
    void aQueryThatIsNotRewrittenIsRerankedAllTheSame() throws Exception {
        test.prepareQuery = request -> prepared().build();
        var script = QueryBuilders.scriptScoreQuery(match(), new Script("1"));
        SearchRequest request = new SearchRequest("books").source(new SearchSourceBuilder().query(script));
        SearchState state = rewrite(request, Map.of("rerank", true, "text", "own"));
        assertEquals(List.of("AS_WRITTEN", "script_score is not rewritten"), List.of(state.queryStatus, state.queryReason));
        assertEquals(List.of(script, 10, "own"), List.of(request.source().query(), request.source().size(), sent(0).getText()));
        assertNotNull(state.embeddings);
        assertNull(state.rerankStatus);
        assertEquals("AS_WRITTEN", rewrite(request, Map.of("text", "own")).queryStatus);
        assertEquals(1, test.calls.size(), "without a rerank there is nothing to encode");
    }

    @Test
    void onlyEncodedFieldsHaveText() throws Exception {
        test.prepareQuery = request -> prepared().build();
        var query = QueryBuilders.boolQuery().must(QueryBuilders.matchQuery("status", "published")).must(match());
        rewrite(new SearchRequest("books").source(new SearchSourceBuilder().query(query)), Map.of());
        assertEquals("red car", sent(0).getText());
        var exact = new SearchRequest("books").source(new SearchSourceBuilder().query(QueryBuilders.matchQuery("sku", "A-100")));
        assertEquals("NO_TEXT", rewrite(exact, Map.of()).queryStatus);
        assertEquals(QueryBuilders.matchQuery("sku", "A-100"), exact.source().query());
    }

    @ParameterizedTest
    @CsvSource({ "plain, NOT_SET_UP", "broken, NOT_SET_UP", "'books,films', NOT_SET_UP", "'books,papers', REWRITTEN" })
    void allIndicesMustHaveOneSetup(String indices, String status) throws Exception {
        test.prepareQuery = request -> prepared().build();
        var request = new SearchRequest(indices.split(",")).source(new SearchSourceBuilder().query(match()));
        assertEquals(status, rewrite(request, Map.of()).queryStatus);
    }

    @Test
    void aSetupThatCannotBeReadLeavesTheSearchAsWritten() throws Exception {
        SearchRequest request = request("broken");
        var written = request.source().query();
        SearchState state = rewrite(request, Map.of("rerank", true));
        String step = ": run cherche remove broken, then cherche setup broken";
        assertEquals("index [broken] has a _meta.cherche that this plugin cannot read" + step, state.queryReason);
        assertEquals(List.of("NOT_SET_UP", state.queryReason), List.of(state.rerankStatus, state.rerankReason));
        assertEquals(written, request.source().query());
        assertEquals(List.of(), test.calls);
    }

    @Test
    void aSearchWithoutTextOrWithASortNeedsNoCall() throws Exception {
        SearchRequest all = new SearchRequest("books").source(new SearchSourceBuilder().query(QueryBuilders.matchAllQuery()));
        assertEquals("NO_TEXT", rewrite(all, Map.of()).queryStatus);
        assertEquals("NO_TEXT", rewrite(new SearchRequest("books"), Map.of()).queryStatus);
        SearchRequest sorted = request("books");
        sorted.source().sort("year");
        assertEquals("SKIPPED_SORT", rewrite(sorted, Map.of()).queryStatus);
        assertEquals("SKIPPED_SORT", rewrite(request("books").scroll("1m"), Map.of()).queryStatus);
        assertEquals("OFF", rewrite(request("books"), Map.of("mode", "off")).queryStatus);
        assertEquals(List.of(), test.calls);
        assertEquals(5, test.count(Count.QUERIES_UNTOUCHED));
    }

    @Test
    void theKillSwitchAndOwnText() throws Exception {
        test.prepareQuery = request -> prepared().build();
        SearchRequest all = new SearchRequest("books").source(new SearchSourceBuilder().query(QueryBuilders.matchAllQuery()));
        rewrite(all, Map.of("text", "own"));
        assertEquals("own", sent(0).getText());
        test.settings.applySettings(Settings.builder().put("plugins.cherche.enabled", false).build());
        assertEquals("OFF", rewrite(request("books"), Map.of()).queryStatus);
        assertEquals(1, test.calls.size());
    }

    @Test
    void docOnlyQueriesUseTheTable() throws Exception {
        test.getQueryTable = request -> GetQueryTableResponse.newBuilder()
            .addAllVocabulary(List.of("red", "car"))
            .addAllFeatures(List.of("red", "car"))
            .setWeights(ByteString.copyFrom(new byte[] { 0, 0, 0, 64, 0, 0, -128, 63 }))
            .setMaxPieces(8)
            .setSparseBoost(1)
            .build();
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of("query_mode", "doc_only"));
        assertEquals(2, state.terms);
        String query = request.source().query().toString();
        assertTrue(query.contains("cherche_weights.red") && query.contains("cherche_weights.car"), query);
        rewrite(request("books"), Map.of("query_mode", "doc_only", "text", "red"));
        assertEquals(1, test.calls.size(), "the table only");
    }

    @Test
    void aClauseThatCannotBeParsedLeavesTheSearchAsWritten() throws Exception {
        test.prepareQuery = request -> prepared().setClauseJson(ByteString.copyFromUtf8("{\"no_such_query\": {}}")).build();
        SearchRequest request = request("books");
        SearchState state = rewrite(request, Map.of());
        assertEquals("UNAVAILABLE", state.queryStatus);
        assertTrue(state.queryReason.contains("no_such_query"), state.queryReason);
        test.getQueryTable = table -> GetQueryTableResponse.newBuilder()
            .addVocabulary("red")
            .addFeatures("broken")
            .setWeights(ByteString.copyFrom(new byte[] { 0, 0, 0, 64 }))
            .setMaxPieces(8)
            .build();
        assertEquals("UNAVAILABLE", rewrite(request, Map.of("query_mode", "doc_only")).queryStatus);
        assertEquals(match(), request.source().query());
    }

    @Test
    void withoutATableDocOnlyQueriesAreSent() throws Exception {
        test.prepareQuery = request -> prepared().build();
        assertEquals("REWRITTEN", rewrite(request("books"), Map.of("query_mode", "doc_only")).queryStatus);
        assertEquals(QueryMode.QUERY_MODE_DOC_ONLY, sent(1).getQueryMode());
    }

    @Test
    void theOptionsOfARequestAreRemovedFromIt() {
        var own = new ChercheExt(Map.of());
        var other = new MaxSimQuery(new byte[4], 1, 1, 1);
        var source = new SearchSourceBuilder().ext(List.of(other, own));
        assertSame(own, QueryRewriter.takeExt(source));
        assertEquals(List.of(other), source.ext());
        assertNull(QueryRewriter.takeExt(source));
        assertNull(QueryRewriter.takeExt(null));
    }
}
