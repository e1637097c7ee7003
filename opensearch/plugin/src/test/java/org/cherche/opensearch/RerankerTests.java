package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import cherche.v1.Plugin.QueryEmbeddings;
import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.apache.lucene.search.TotalHits;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.ShardSearchFailure;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.internal.InternalSearchResponse;

class RerankerTests {

    private static RerankHitsResponse answer(int... indices) {
        var answer = RerankHitsResponse.newBuilder();
        IntStream.of(indices).forEach(index -> answer.addHits(RerankedHit.newBuilder().setIndex(index)));
        return answer.build();
    }

    /** Hits a, b, c, … with falling scores and a collapse value each. */
    private static SearchResponse response(int count, TotalHits total) {
        SearchHit[] hits = new SearchHit[count];
        Object[] groups = new Object[count];
        for (int place = 0; place < count; place++) {
            hits[place] = new SearchHit(place, Character.toString('a' + place), Map.of(), Map.of());
            hits[place].score(count - place);
            groups[place] = "group of " + hits[place].getId();
        }
        var all = new SearchHits(hits, total, count, null, "group", groups);
        var internal = new InternalSearchResponse(all, null, null, null, false, null, 1);
        return new SearchResponse(internal, null, 1, 1, 0, 5, ShardSearchFailure.EMPTY_ARRAY, SearchResponse.Clusters.EMPTY);
    }

    private static SearchResponse cut(SearchResponse response, int[] order, int from, int size, boolean widened) {
        var state = new SearchState(Options.DEFAULTS, null, from, size);
        state.embeddings = widened ? QueryEmbeddings.getDefaultInstance() : null;
        return Pages.cut(response, order, state, new ChercheExt(Map.of("rerank_status", "APPLIED")));
    }

    private static List<String> ids(SearchResponse response) {
        return Stream.of(response.getHits().getHits()).map(SearchHit::getId).toList();
    }

    @Test
    void whatLiesBelowTheWindowStaysBelow() {
        assertArrayEquals(new int[] { 2, 0, 1, 3, 4 }, Reranker.order(answer(2, 0, 1), 3, 5));
    }

    @Test
    void anAnswerThatIsNoPermutationIsNotBelieved() {
        assertNull(Reranker.order(answer(0, 0, 1), 3, 3));
        assertNull(Reranker.order(answer(0, 1), 3, 3));
        assertNull(Reranker.order(answer(0, 1, 3), 3, 5));
        assertNull(Reranker.order(answer(0, 1, -1), 3, 5));
    }

    @Test
    void thePageIsCutOutOfTheNewOrderWithItsGroups() {
        SearchResponse page = cut(response(5, null), new int[] { 4, 3, 2, 1, 0 }, 1, 2, true);
        assertEquals(List.of("d", "c"), ids(page));
        assertArrayEquals(new Object[] { "group of d", "group of c" }, page.getHits().getCollapseValues());
        assertEquals(1.0f, page.getHits().getMaxScore());
        assertNull(page.getHits().getTotalHits());
    }

    @Test
    void aPageThatWasNotWidenedStays() {
        var total = new TotalHits(7, TotalHits.Relation.EQUAL_TO);
        SearchResponse page = cut(response(3, total), null, 20, 3, false);
        assertEquals(List.of("a", "b", "c"), ids(page));
        assertEquals(total, page.getHits().getTotalHits());
        assertEquals("APPLIED", ChercheExt.among(page.getInternalResponse().getSearchExtBuilders()).values().get("rerank_status"));
    }

    @Test
    void aPageBeyondTheHitsIsEmpty() {
        assertEquals(List.of(), ids(cut(response(3, null), new int[] { 0, 1, 2 }, 3, 10, true)));
        assertEquals(List.of(), ids(cut(response(0, null), null, 0, 10, true)));
    }

    @Test
    void overlapIsTheShareOfTheLongerList() {
        assertEquals(1.0, Shadow.overlap(List.of(), List.of()));
        assertEquals(0.5, Shadow.overlap(List.of("a", "b"), List.of("b")));
        assertEquals(0.0, Shadow.overlap(List.of("a"), List.of("b")));
    }
}
