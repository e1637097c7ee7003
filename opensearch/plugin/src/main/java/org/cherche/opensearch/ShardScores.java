package org.cherche.opensearch;

import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankOutcome;
import cherche.v1.Search.RerankStatus;
import java.util.stream.IntStream;
import org.opensearch.common.document.DocumentField;
import org.opensearch.search.SearchHit;

/** Ranks a window by the scores of the shards; the result has the form of a RerankHits response. */
final class ShardScores {

    private ShardScores() {}

    /** Removes the scores from all hits and ranks the first {@code window} of them. */
    static RerankHitsResponse rank(SearchHit[] hits, int window, double weight) {
        double[] first = new double[window];
        double[] maxsim = new double[window];
        String[] ids = new String[window];
        String damaged = null;
        boolean isLate = false;
        for (int place = 0; place < hits.length; place++) {
            DocumentField field = take(hits[place], Reranker.MAXSIM);
            if (place >= window) {
                continue;
            }
            Object found = field == null ? null : field.getValue();
            first[place] = HitScores.of(hits[place]);
            ids[place] = hits[place].getId();
            maxsim[place] = found instanceof Number score ? score.doubleValue() : Double.NEGATIVE_INFINITY;
            isLate |= MaxSimPhase.LATE.equals(found);
            damaged = damaged == null && found instanceof String reason ? reason : damaged;
        }
        int scored = (int) IntStream.range(0, window).filter(place -> Double.isFinite(maxsim[place])).count();
        var outcome = RerankOutcome.newBuilder().setWindow(window).setWeight(weight);
        if (isLate) {
            return firstStage(first, outcome.setStatus(RerankStatus.RERANK_STATUS_DEADLINE).setReason("time ran out during MaxSim"));
        }
        outcome.setReranked(scored).setCodesMissing(window - scored);
        if (scored == window) {
            return ranked(first, maxsim, ids, outcome.setStatus(RerankStatus.RERANK_STATUS_APPLIED));
        }
        String why = damaged == null
            ? "have no token codes: feed their documents again"
            : "have codes that cannot be read: " + damaged;
        outcome.setReason(window - scored + " of " + window + " hits " + why);
        return scored == 0
            ? firstStage(first, outcome.setStatus(RerankStatus.RERANK_STATUS_CODES_MISSING))
            : ranked(first, maxsim, ids, outcome.setStatus(RerankStatus.RERANK_STATUS_PARTIAL));
    }

    /** Removes a field from a hit; the field map of a hit without fields may be immutable. */
    static DocumentField take(SearchHit hit, String name) {
        return hit.field(name) == null ? null : hit.removeDocumentField(name);
    }

    private static RerankHitsResponse ranked(double[] first, double[] maxsim, String[] ids, RerankOutcome.Builder outcome) {
        double[] fused = Fusion.convex(first, maxsim, outcome.getWeight());
        var response = RerankHitsResponse.newBuilder().setOutcome(outcome);
        for (int place : Fusion.order(fused, ids)) {
            var hit = RerankedHit.newBuilder().setIndex(place).setScore(fused[place]);
            response.addHits(Double.isFinite(maxsim[place]) ? hit.setMaxsim(maxsim[place]) : hit);
        }
        return response.build();
    }

    private static RerankHitsResponse firstStage(double[] first, RerankOutcome.Builder outcome) {
        var response = RerankHitsResponse.newBuilder().setOutcome(outcome);
        for (int place = 0; place < first.length; place++) {
            response.addHits(RerankedHit.newBuilder().setIndex(place).setScore(first[place]));
        }
        return response.build();
    }
}
