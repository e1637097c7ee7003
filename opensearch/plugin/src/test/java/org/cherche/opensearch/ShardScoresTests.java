package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankStatus;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.opensearch.common.document.DocumentField;
import org.opensearch.search.SearchHit;

class ShardScoresTests {

    /** Hits a, b, c, … in descending order of score, each with the result of its shard. */
    private static SearchHit[] hits(Object... found) {
        SearchHit[] hits = new SearchHit[found.length];
        for (int place = 0; place < found.length; place++) {
            hits[place] = new SearchHit(place, Character.toString('a' + place), Map.of(), Map.of());
            hits[place].score(found.length - place);
            if (found[place] != null) {
                hits[place].setDocumentField(Reranker.MAXSIM, new DocumentField(Reranker.MAXSIM, List.of(found[place])));
            }
        }
        return hits;
    }

    private static List<Integer> order(RerankHitsResponse reranked) {
        return reranked.getHitsList().stream().map(RerankedHit::getIndex).toList();
    }

    @Test
    void aWholeWindowIsApplied() {
        SearchHit[] hits = hits(1.0f, 9.0f, 5.0f);
        RerankHitsResponse reranked = ShardScores.rank(hits, 3, 1.0);
        assertEquals(List.of(1, 2, 0), order(reranked));
        assertEquals(RerankStatus.RERANK_STATUS_APPLIED, reranked.getOutcome().getStatus());
        assertNull(hits[0].field(Reranker.MAXSIM), "the field of the shard does not reach the client");
    }

    @Test
    void aHitWithoutCodesKeepsItsFirstStage() {
        RerankHitsResponse reranked = ShardScores.rank(hits(null, 2.0f, "damaged"), 3, 0.5);
        assertEquals(RerankStatus.RERANK_STATUS_PARTIAL, reranked.getOutcome().getStatus());
        assertEquals("2 of 3 hits have codes that cannot be read: damaged", reranked.getOutcome().getReason());
        assertEquals(1, reranked.getOutcome().getReranked());
        assertFalse(reranked.getHits(2).hasMaxsim());
    }

    @Test
    void withoutAnyCodesOrTimeTheFirstStageStays() {
        RerankHitsResponse none = ShardScores.rank(hits(null, null), 2, 0.5);
        assertEquals(RerankStatus.RERANK_STATUS_CODES_MISSING, none.getOutcome().getStatus());
        RerankHitsResponse late = ShardScores.rank(hits(7.0f, MaxSimPhase.LATE, 9.0f), 3, 0.5);
        assertEquals(RerankStatus.RERANK_STATUS_DEADLINE, late.getOutcome().getStatus());
        assertEquals(List.of(0, 1, 2), order(late));
        assertEquals(2.0, late.getHits(1).getScore());
    }

    @Test
    void whatLiesBelowTheWindowIsNotCounted() {
        RerankHitsResponse reranked = ShardScores.rank(hits(1.0f, 2.0f, null, "damaged"), 2, 0.5);
        assertEquals(RerankStatus.RERANK_STATUS_APPLIED, reranked.getOutcome().getStatus());
        assertEquals(2, reranked.getHitsCount());
    }
}
