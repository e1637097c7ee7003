package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import org.cherche.opensearch.FirstStage.Membership;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.internal.SearchContext;

/**
 * Whether all terms find the hits of a search, or the heaviest find candidates that all terms then score.
 * {@code tests/contract/phases.json} holds this class and the sidecar's {@code pipeline/phases.py} to the same answers.
 *
 * @param terms how many find candidates; 0 where all find hits
 * @param candidates how many hits of a shard all terms score
 * @param reason why the terms that were asked for do not apply
 */
record Phases(int terms, int candidates, String reason) {

    static final int CANDIDATES = 1_000;
    private static final Phases ONE = new Phases(0, CANDIDATES, "");

    /**
     * A sparse clause in two.
     *
     * @param first finds candidates
     * @param others adds to their scores; null where the first has all terms
     */
    record Halves(QueryBuilder first, QueryBuilder others) {}

    /**
     * Decides the phases of a search that is to be rewritten.
     *
     * @param wanted terms that find candidates, of the request or of the index
     * @param least candidates, unless more hits are reranked
     * @param window number of hits to rerank; 0 for none
     * @param size hits of the page, after {@code from} others
     */
    static Phases decide(SearchSourceBuilder source, Membership membership, int wanted, int least, int window, int from, int size) {
        if (wanted == 0 || size == 0 || !membership.isRewritten()) {
            return ONE;
        }
        int candidates = Math.max(least, window);
        String reason = reason(source, membership);
        if (reason.isEmpty() && from + size > candidates) {
            reason = String.format(Locale.ROOT, "hit %,d lies below %,d candidates", from + size, candidates);
        }
        return reason.isEmpty() ? new Phases(wanted, candidates, "") : new Phases(0, CANDIDATES, reason);
    }

    /** What asks for more than the best hits by score: all that match, or another order. */
    private static String reason(SearchSourceBuilder source, Membership membership) {
        if (!membership.isUnion()) {
            return "the query alone decides which documents match";
        }
        String part = "";
        if (source.aggregations() != null) {
            part = "aggs";
        } else if (source.sorts() != null && !source.sorts().isEmpty()) {
            part = "sort";
        } else if (source.collapse() != null) {
            part = "collapse";
        } else if (source.minScore() != null) {
            part = "min_score";
        } else if (source.terminateAfter() != SearchContext.DEFAULT_TERMINATE_AFTER) {
            part = "terminate_after";
        } else if (!source.indexBoosts().isEmpty()) {
            part = "indices_boost";
        } else if (source.rescores() != null && !source.rescores().isEmpty()) {
            part = "rescore";
        }
        if (!part.isEmpty()) {
            return "the request has " + part;
        }
        boolean countsAll = Integer.valueOf(SearchContext.TRACK_TOTAL_HITS_ACCURATE).equals(source.trackTotalHitsUpTo());
        return countsAll ? "the request counts all hits" : "";
    }

    /** The clause of a query's terms, cut after the heaviest; as one where it has no more than those. */
    Halves split(QueryBuilder sparse) {
        if (terms == 0 || !(sparse instanceof BoolQueryBuilder bool) || bool.should().size() <= terms) {
            return new Halves(sparse, null);
        }
        List<QueryBuilder> byWeight = new ArrayList<>(bool.should());
        byWeight.sort(Comparator.comparingDouble(clause -> -clause.boost()));
        return new Halves(anyOf(byWeight.subList(0, terms)), anyOf(byWeight.subList(terms, byWeight.size())));
    }

    private static QueryBuilder anyOf(List<QueryBuilder> clauses) {
        BoolQueryBuilder bool = QueryBuilders.boolQuery();
        clauses.forEach(bool::should);
        return bool;
    }
}
