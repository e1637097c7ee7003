package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import cherche.v1.Plugin.QueryEmbeddings;
import java.util.List;
import java.util.Map;
import org.apache.lucene.search.TotalHits;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.ShardSearchFailure;
import org.opensearch.search.SearchExtBuilder;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.internal.InternalSearchResponse;

class PagesTests {

    /** Hits a, b, c, … in descending order of score, each with a collapse value. */
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

    private static SearchResponse cut(SearchResponse response, int[] order, int from, int size, boolean enlarged) {
        var state = new SearchState(Options.DEFAULTS, null, from, size);
        state.embeddings = enlarged ? QueryEmbeddings.getDefaultInstance() : null;
        return Pages.cut(response, order, state, new ChercheExt(Map.of("rerank_status", "APPLIED")));
    }

    @Test
    void thePageIsCutOutOfTheNewOrderWithItsGroups() {
        SearchResponse page = cut(response(5, null), new int[] { 4, 3, 2, 1, 0 }, 1, 2, true);
        assertEquals(List.of("d", "c"), TestNode.ids(page));
        assertArrayEquals(new Object[] { "group of d", "group of c" }, page.getHits().getCollapseValues());
        assertEquals(1.0f, page.getHits().getMaxScore());
        assertNull(page.getHits().getTotalHits());
    }

    @Test
    void aPageThatWasNotEnlargedIsKept() {
        var total = new TotalHits(7, TotalHits.Relation.EQUAL_TO);
        SearchResponse page = cut(response(3, total), null, 20, 3, false);
        assertEquals(List.of("a", "b", "c"), TestNode.ids(page));
        assertEquals(total, page.getHits().getTotalHits());
        assertEquals("APPLIED", ChercheExt.in(page.getInternalResponse().getSearchExtBuilders()).values().get("rerank_status"));
    }

    @Test
    void aPageBeyondTheHitsIsEmpty() {
        assertEquals(List.of(), TestNode.ids(cut(response(3, null), new int[] { 0, 1, 2 }, 3, 10, true)));
        assertEquals(List.of(), TestNode.ids(cut(response(0, null), null, 0, 10, true)));
    }

    @Test
    void aPageBeyondTheHitsHasTheLargestScoreOfItsOwnScaleOrNone() {
        assertEquals(2.0f, cut(response(3, null), new int[] { 1, 0, 2 }, 3, 10, true).getHits().getMaxScore());
        var outside = new SearchState(Options.DEFAULTS, null, 15, 10).notReranked(SearchState.OUTSIDE_WINDOW, "");
        var ext = new ChercheExt(Map.of());
        var none = new SearchHits(new SearchHit[0], new TotalHits(12, TotalHits.Relation.EQUAL_TO), 3.69f);
        SearchResponse beyond = Pages.cut(Pages.with(response(0, null), none, ext), null, outside, ext);
        assertEquals(Float.NaN, beyond.getHits().getMaxScore());
        assertEquals(12, beyond.getHits().getTotalHits().value());
        assertEquals(3.0f, Pages.cut(response(3, null), null, outside, ext).getHits().getMaxScore());
    }

    @Test
    void otherExtensionsOfAResponseAreKept() {
        var other = new MaxSimQuery(new byte[4], 1, 1, 1);
        var hits = response(1, null).getHits();
        List<SearchExtBuilder> exts = List.of(other, new ChercheExt(Map.of()));
        var sections = new InternalSearchResponse(hits, null, null, null, true, null, 3, exts, List.of());
        var before = new SearchResponse(sections, "scroll", 4, 3, 1, 5, ShardSearchFailure.EMPTY_ARRAY, SearchResponse.Clusters.EMPTY);
        var ext = new ChercheExt(Map.of("rerank_status", "PARTIAL"));
        SearchResponse after = Pages.with(before, hits, ext);
        assertEquals(List.of(other, ext), after.getInternalResponse().getSearchExtBuilders());
        assertEquals(List.of(5L, "scroll", true), List.of(after.getTook().millis(), after.getScrollId(), after.isTimedOut()));
        assertEquals(List.of(4, 3, 1), List.of(after.getTotalShards(), after.getSuccessfulShards(), after.getSkippedShards()));
        assertEquals(3, after.getNumReducePhases());
    }
}
