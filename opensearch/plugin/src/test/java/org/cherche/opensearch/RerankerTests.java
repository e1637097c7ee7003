package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.PipelineHit;
import cherche.v1.Plugin.QueryEmbeddings;
import cherche.v1.Plugin.RerankHitsRequest;
import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankOutcome;
import cherche.v1.Search.RerankStatus;
import io.grpc.Status;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.lucene.search.Explanation;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.document.DocumentField;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.search.SearchHit;

class RerankerTests {

    private static final Reranker.Settings FAIL_OPEN = new Reranker.Settings(null, false, true);

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    private static RerankHitsResponse ranked(int... indices) {
        var response = RerankHitsResponse.newBuilder();
        IntStream.of(indices).forEach(index -> response.addHits(RerankedHit.newBuilder().setIndex(index)));
        return response.build();
    }

    /** The window in reverse, scored by its new rank. */
    private static RerankHitsResponse reversed(RerankHitsRequest request) {
        int window = request.getHitsCount();
        var response = RerankHitsResponse.newBuilder();
        for (int rank = 0; rank < window; rank++) {
            response.addHits(RerankedHit.newBuilder().setIndex(window - 1 - rank).setScore(0.5 * (window - rank)).setMaxsim(7 - rank));
        }
        var outcome = RerankOutcome.newBuilder().setStatus(RerankStatus.RERANK_STATUS_APPLIED).setWindow(window).setReranked(window);
        return response.setOutcome(outcome.setWeight(request.getWeight())).build();
    }

    private SearchState state(int window, boolean onShards, Map<String, Object> options) {
        IndexSetup setup = test.node.setupForWriting("books");
        var state = new SearchState(Options.DEFAULTS.override(new HashMap<>(options)), setup, 1, 2).notRewritten("REWRITTEN", "");
        state.window = window;
        state.onShards = onShards;
        state.embeddings = QueryEmbeddings.newBuilder().setTokens(1).setDim(1).build();
        return state;
    }

    private static SearchHit coded(String id, String codes) {
        var field = new DocumentField(IndexSetup.CODES, List.of(Base64.getEncoder().encodeToString(codes.getBytes())));
        return new SearchHit(0, id, new HashMap<>(Map.of(IndexSetup.CODES, field)), Map.of());
    }

    private SearchResponse rerank(SearchState state, Reranker.Settings settings, SearchHit... hits) throws Exception {
        return TestNode.await(then -> test.node.reranker().rerank(TestNode.response(hits), state, settings, then));
    }

    private static Map<String, Object> ext(SearchResponse response) {
        return ChercheExt.in(response.getInternalResponse().getSearchExtBuilders()).values();
    }

    @Test
    void whatLiesBelowTheWindowStaysBelow() {
        assertArrayEquals(new int[] { 2, 0, 1, 3, 4 }, Reranker.order(ranked(2, 0, 1), 3, 5));
    }

    @Test
    void aResponseThatIsNotAPermutationIsRejected() {
        assertNull(Reranker.order(ranked(0, 0, 1), 3, 3));
        assertNull(Reranker.order(ranked(0, 1), 3, 3));
        assertNull(Reranker.order(ranked(0, 1, 3), 3, 5));
        assertNull(Reranker.order(ranked(0, 1, -1), 3, 5));
    }

    @ParameterizedTest
    @ValueSource(doubles = { Double.NaN, Double.POSITIVE_INFINITY })
    void scoresThatAreNoNumbersAreNotShown(double score) throws Exception {
        for (boolean late : new boolean[] { false, true }) {
            test.rerankHits = request -> {
                var response = reversed(request).toBuilder();
                var first = response.getHitsBuilder(0);
                if (late) {
                    first.setMaxsim(score);
                } else {
                    first.setScore(score);
                }
                return response.build();
            };
            SearchResponse page = rerank(state(3, false, Map.of()), FAIL_OPEN, coded("a", "1"), coded("b", "2"), coded("c", "3"));
            assertEquals(List.of("b", "c"), TestNode.ids(page), "in first-stage order");
            assertEquals("UNAVAILABLE", ext(page).get("rerank_status"));
            assertEquals("the sidecar returned scores that are no numbers", ext(page).get("rerank_reason"));
        }
    }

    @Test
    void aStatusOfALaterReleaseIsShown() throws Exception {
        test.rerankHits = request -> {
            var response = reversed(request).toBuilder();
            response.getOutcomeBuilder().setStatusValue(99);
            return response.build();
        };
        SearchResponse page = rerank(state(3, false, Map.of()), FAIL_OPEN, coded("a", "1"), coded("b", "2"), coded("c", "3"));
        assertEquals("UNKNOWN", ext(page).get("rerank_status"));
    }

    @Test
    void theSidecarReordersTheWindow() throws Exception {
        test.rerankHits = RerankerTests::reversed;
        SearchState state = state(3, false, Map.of("rerank_weight", 0.25));
        boolean[] released = new boolean[1];
        state.reservation = () -> released[0] = true;
        SearchResponse page = rerank(state, FAIL_OPEN, coded("a", "A"), coded("b", "B"), coded("c", "C"), coded("d", "D"));
        assertEquals(List.of("b", "a"), TestNode.ids(page), "hits 1 and 2 of c, b, a, d");
        SearchHit first = page.getHits().getAt(0);
        assertEquals(1.0f, first.getScore());
        assertEquals(3.0f, first.field(Reranker.FIRST_STAGE).<Float>getValue());
        assertEquals(6.0f, first.field(Reranker.MAXSIM).<Float>getValue());
        assertNull(first.field(IndexSetup.CODES), "codes are not shown");
        var sent = (RerankHitsRequest) test.calls.get(0);
        assertEquals(List.of("A", "B", "C"), sent.getHitsList().stream().map(hit -> hit.getCodes().toStringUtf8()).toList());
        assertEquals(List.of(4.0, 3.0, 2.0), sent.getHitsList().stream().map(PipelineHit::getScore).toList());
        assertEquals(state.setup.json(), sent.getMetaJson());
        assertTrue(released[0]);
        assertEquals(1, test.count(Count.PAGES_RERANKED));
        assertEquals(
            Map.of(
                "query_status", "REWRITTEN", "query_terms", 0, "rerank_status", "APPLIED",
                "rerank_window", 3, "reranked", 3, "codes_missing", 0, "rerank_weight", 0.25
            ),
            ext(page)
        );
    }

    @Test
    void scoresFallWithTheRankAcrossTheWindowsEdgeAndExplanationsGiveThem() throws Exception {
        SearchHit[] hits = { TestNode.hit("a"), TestNode.hit("b"), TestNode.hit("c"), TestNode.hit("d") };
        for (int place = 0; place < hits.length; place++) {
            hits[place].explanation(Explanation.match(hits.length - place, "first stage"));
            hits[place].setDocumentField(Reranker.MAXSIM, new DocumentField(Reranker.MAXSIM, List.of((float) place)));
        }
        SearchState state = new SearchState(Options.DEFAULTS, test.node.setupForWriting("books"), 0, 4).notRewritten("REWRITTEN", "");
        state.window = 2;
        state.onShards = true;
        state.embeddings = QueryEmbeddings.getDefaultInstance();
        state.windowCut = "cut";
        SearchResponse page = rerank(state, FAIL_OPEN, hits);
        assertEquals(List.of("a", "b", "c", "d"), TestNode.ids(page));
        List<Float> scores = Stream.of(page.getHits().getHits()).map(SearchHit::getScore).toList();
        assertEquals(List.of(0.5f, 0.5f, -1 / 3f, -0.5f), scores);
        assertEquals(0.5f, page.getHits().getMaxScore());
        for (SearchHit hit : page.getHits()) {
            assertEquals(hit.getScore(), hit.getExplanation().getValue());
        }
        Explanation[] parts = page.getHits().getAt(0).getExplanation().getDetails();
        assertEquals(List.of(1.0f, 0.0f), Stream.of(parts).map(Explanation::getValue).toList(), "of equal weight 0.5");
        assertEquals(2.0f, page.getHits().getAt(2).field(Reranker.FIRST_STAGE).<Float>getValue());
        assertEquals(List.of("cut", true), List.of(ext(page).get("rerank_reason"), ext(page).get("rerank_window_shrunk")));
    }

    @Test
    void aPageOutsideTheWindowScoresBelowIt() throws Exception {
        var state = new SearchState(Options.DEFAULTS, test.node.setupForWriting("books"), 10, 2).notRewritten("REWRITTEN", "");
        SearchResponse page = rerank(state.notReranked("OUTSIDE_WINDOW", ""), FAIL_OPEN, TestNode.hit("a"), TestNode.hit("b"));
        assertEquals(List.of(-1 / 3f, -0.5f), Stream.of(page.getHits().getHits()).map(SearchHit::getScore).toList());
        assertEquals(-1 / 3f, page.getHits().getMaxScore());
        assertEquals(1.0f, page.getHits().getAt(1).field(Reranker.FIRST_STAGE).<Float>getValue());
    }

    @Test
    void scoresAreKeptOnlyIfThePipelineSaysSo() throws Exception {
        test.rerankHits = RerankerTests::reversed;
        var withoutScores = new Reranker.Settings(null, false, false);
        SearchResponse page = rerank(state(3, false, Map.of()), withoutScores, coded("a", "A"), coded("b", "B"));
        assertEquals(Map.of(), page.getHits().getAt(0).getFields());
    }

    @Test
    void theShardsScoresReorderTheWindowWithoutTheSidecar() throws Exception {
        SearchHit[] hits = { TestNode.hit("a"), TestNode.hit("b"), TestNode.hit("c") };
        for (int place = 0; place < hits.length; place++) {
            hits[place].setDocumentField(Reranker.MAXSIM, new DocumentField(Reranker.MAXSIM, List.of((float) place)));
        }
        SearchResponse page = rerank(state(3, true, Map.of("rerank_weight", 1.0)), FAIL_OPEN, hits);
        assertEquals(List.of("b", "a"), TestNode.ids(page), "hits 1 and 2 of c, b, a");
        assertEquals(1.0, ext(page).get("rerank_weight"));
        assertEquals(List.of(), test.calls);
        assertEquals(0.5, ext(rerank(state(3, true, Map.of()), FAIL_OPEN, TestNode.hit("a"))).get("rerank_weight"), "the index's");
    }

    @Test
    void aFailedCallKeepsTheFirstStage() throws Exception {
        test.rerankHits = request -> { throw Status.DEADLINE_EXCEEDED.withDescription("too late").asRuntimeException(); };
        SearchResponse page = rerank(state(3, false, Map.of()), FAIL_OPEN, coded("a", "A"), coded("b", "B"));
        assertEquals(List.of("b"), TestNode.ids(page));
        assertEquals(List.of("DEADLINE", "too late"), List.of(ext(page).get("rerank_status"), ext(page).get("rerank_reason")));
        assertFalse(ext(page).containsKey("reranked"));
        assertNull(page.getHits().getAt(0).field(IndexSetup.CODES));
        assertEquals(1, test.count(Count.PAGES_NOT_RERANKED));
    }

    @Test
    void aResponseWithOtherHitsKeepsTheFirstStage() throws Exception {
        test.rerankHits = request -> ranked(0, 0);
        SearchResponse page = rerank(state(3, false, Map.of()), FAIL_OPEN, coded("a", "A"), coded("b", "B"));
        assertEquals("UNAVAILABLE", ext(page).get("rerank_status"));
        assertEquals("the sidecar returned other hits than it received", ext(page).get("rerank_reason"));
    }

    @Test
    void failClosedRejectsAnOutageOnly() throws Exception {
        test.rerankHits = request -> { throw Status.UNAVAILABLE.withDescription("gone").asRuntimeException(); };
        var failClosed = new Reranker.Settings(null, true, true);
        var error = assertThrows(ExecutionException.class, () -> rerank(state(3, false, Map.of()), failClosed, coded("a", "A")));
        var cause = (OpenSearchStatusException) error.getCause();
        assertEquals(RestStatus.SERVICE_UNAVAILABLE, cause.status());
        assertEquals("cherche_rerank: UNAVAILABLE: gone", cause.getMessage());
        var skipped = state(3, false, Map.of()).notReranked("SKIPPED_SORT", "");
        assertEquals("SKIPPED_SORT", ext(rerank(skipped, failClosed, coded("a", "A"))).get("rerank_status"));
    }

    @Test
    void aPageWithoutHitsNeedsNoCall() throws Exception {
        for (boolean onShards : new boolean[] { true, false }) {
            SearchResponse page = rerank(state(3, onShards, Map.of()), FAIL_OPEN);
            assertEquals("there were no hits", ext(page).get("rerank_reason"));
        }
        assertEquals(List.of(), test.calls);
    }

    @Test
    void aShrunkWindowIsReported() throws Exception {
        test.rerankHits = RerankerTests::reversed;
        SearchState state = state(1, false, Map.of());
        state.shrunk = true;
        assertEquals(true, ext(rerank(state, FAIL_OPEN, coded("a", "A"))).get("rerank_window_shrunk"));
    }
}
