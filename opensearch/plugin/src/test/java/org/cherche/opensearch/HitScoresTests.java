package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankOutcome;
import org.apache.lucene.search.Explanation;
import org.junit.jupiter.api.Test;
import org.opensearch.search.SearchHit;

class HitScoresTests {

    /** Hits of a first stage, best first. */
    private static SearchHit[] hits(float... scores) {
        var hits = new SearchHit[scores.length];
        for (int place = 0; place < scores.length; place++) {
            hits[place] = new SearchHit(place);
            hits[place].score(scores[place]);
            hits[place].explanation(Explanation.match(scores[place], "first stage"));
        }
        return hits;
    }

    private static float value(Explanation explanation) {
        return explanation.getValue().floatValue();
    }

    @Test
    void scoresFallAcrossTheEdgeOfTheWindowAndAreWhatIsExplained() {
        SearchHit[] hits = hits(9, 8, 5, 3);
        var response = RerankHitsResponse.newBuilder().setOutcome(RerankOutcome.newBuilder().setWeight(0.5));
        response.addHits(RerankedHit.newBuilder().setIndex(0).setScore(0.5).setMaxsim(1));
        response.addHits(RerankedHit.newBuilder().setIndex(1).setScore(0.25)); // without codes
        HitScores.reranked(hits, response.build(), true);
        assertEquals(0.5f, hits[0].getScore());
        assertEquals(0.25f, hits[1].getScore());
        assertEquals(-1f / 6, hits[2].getScore());
        assertEquals(-1f / 4, hits[3].getScore());
        for (SearchHit hit : hits) {
            assertEquals(hit.getScore(), value(hit.getExplanation()));
        }
        assertEquals((Float) 9f, hits[0].field(Reranker.FIRST_STAGE).getValue());
        assertEquals((Float) 1f, hits[0].field(Reranker.MAXSIM).getValue());
        assertNull(hits[1].field(Reranker.MAXSIM));
        assertEquals((Float) 3f, hits[3].field(Reranker.FIRST_STAGE).getValue());
    }

    @Test
    void theFirstStagesOwnExplanationIsKeptInside() {
        SearchHit[] hits = hits(4);
        HitScores.below(hits, 0, false);
        assertEquals(4f, value(hits[0].getExplanation().getDetails()[0]));
        assertNull(hits[0].field(Reranker.FIRST_STAGE));
    }

    @Test
    void aScoreIsTheOneThatJsonShows() {
        SearchHit[] hits = hits(0.1f);
        assertEquals(0.1, HitScores.of(hits[0]));
    }
}
