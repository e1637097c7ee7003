package org.cherche.opensearch;

import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import java.util.Arrays;
import java.util.List;
import org.apache.lucene.search.Explanation;
import org.opensearch.common.document.DocumentField;
import org.opensearch.search.SearchHit;

/** Writes scores into hits, so that they fall with the rank over a whole page, and explanations that give the same. */
final class HitScores {

    private HitScores() {}

    /** Gives the hits of the window their fused scores, and those below it scores that are lower than any of them. */
    static void reranked(SearchHit[] hits, RerankHitsResponse reranked, boolean keep) {
        int window = reranked.getHitsCount();
        double[] first = new double[window];
        double[] maxsim = new double[window];
        Arrays.fill(maxsim, Double.NEGATIVE_INFINITY);
        for (RerankedHit one : reranked.getHitsList()) {
            first[one.getIndex()] = of(hits[one.getIndex()]);
            maxsim[one.getIndex()] = one.hasMaxsim() ? one.getMaxsim() : Double.NEGATIVE_INFINITY;
        }
        double weight = reranked.getOutcome().getWeight();
        double[] firstScaled = Fusion.minMax(first);
        double[] maxsimScaled = Fusion.minMax(maxsim);
        String rule = "(1 - w) * first stage + w * MaxSim, each min-max scaled over the window, w = " + weight;
        for (RerankedHit one : reranked.getHitsList()) {
            int place = one.getIndex();
            SearchHit hit = hits[place];
            if (keep) {
                setField(hit, Reranker.FIRST_STAGE, hit.getScore());
                if (one.hasMaxsim()) {
                    setField(hit, Reranker.MAXSIM, (float) one.getMaxsim());
                }
            }
            hit.score((float) one.getScore());
            if (hit.getExplanation() != null) {
                Explanation similarity = one.hasMaxsim()
                    ? Explanation.match((float) maxsim[place], "MaxSim of query and document tokens")
                    : Explanation.noMatch("no token codes");
                hit.explanation(
                    Explanation.match(
                        hit.getScore(),
                        rule,
                        Explanation.match((float) firstScaled[place], "first stage, scaled", hit.getExplanation()),
                        Explanation.match((float) maxsimScaled[place], "MaxSim, scaled", similarity)
                    )
                );
            }
        }
        below(hits, window, keep);
    }

    /** Gives the hits from one position on the scores of hits below a window. */
    static void below(SearchHit[] hits, int start, boolean keep) {
        for (int place = start; place < hits.length; place++) {
            SearchHit hit = hits[place];
            if (keep) {
                setField(hit, Reranker.FIRST_STAGE, hit.getScore());
            }
            hit.score((float) Fusion.below(of(hit)));
            if (hit.getExplanation() != null) {
                String rule = "below the rerank window: -1 / (1 + first stage)";
                hit.explanation(Explanation.match(hit.getScore(), rule, hit.getExplanation()));
            }
        }
    }

    /** The score as JSON shows it, which is what the sidecar's own search ranks by. */
    static double of(SearchHit hit) {
        return Double.parseDouble(Float.toString(hit.getScore()));
    }

    private static void setField(SearchHit hit, String name, float value) {
        hit.setDocumentField(name, new DocumentField(name, List.of(value)));
    }
}
