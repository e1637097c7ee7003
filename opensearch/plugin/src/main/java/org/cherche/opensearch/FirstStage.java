package org.cherche.opensearch;

import java.util.List;
import org.cherche.opensearch.Options.MatchSet;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.ConstantScoreQueryBuilder;
import org.opensearch.index.query.DisMaxQueryBuilder;
import org.opensearch.index.query.MatchQueryBuilder;
import org.opensearch.index.query.MultiMatchQueryBuilder;
import org.opensearch.index.query.Operator;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.index.query.functionscore.FunctionScoreQueryBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.internal.SearchContext;
import org.opensearch.search.sort.ScoreSortBuilder;
import org.opensearch.search.sort.SortBuilder;
import org.opensearch.search.sort.SortOrder;

/** Combines the user's query and the sparse clause. The user's query stays one unchanged clause. */
final class FirstStage {

    private FirstStage() {}

    /** The text of the first scoring match or multi_match; null where there is none. */
    static String text(QueryBuilder query) {
        return switch (query) {
            case MatchQueryBuilder match -> nonBlank(match.value());
            case MultiMatchQueryBuilder match -> nonBlank(match.value());
            case BoolQueryBuilder bool -> first(bool.must(), bool.should());
            case DisMaxQueryBuilder disMax -> first(disMax.innerQueries(), List.of());
            case FunctionScoreQueryBuilder function -> text(function.query());
            case ConstantScoreQueryBuilder ignored -> null;
            case null, default -> null;
        };
    }

    /**
     * The hybrid query.
     *
     * @param union whether the sparse clause adds hits that the user's query does not match; its filters still apply
     */
    static QueryBuilder hybrid(QueryBuilder users, QueryBuilder sparse, boolean union) {
        if (!union) {
            return QueryBuilders.boolQuery().must(users).should(sparse);
        }
        BoolQueryBuilder both = QueryBuilders.boolQuery().should(users).should(sparse).minimumShouldMatch(1);
        if (users instanceof BoolQueryBuilder bool) {
            bool.filter().forEach(both::filter);
            bool.mustNot().forEach(both::mustNot);
        }
        return both;
    }

    /**
     * The user's query with the request's min_score as its own condition: the score of the sparse clause must not lift
     * a hit above it.
     */
    static QueryBuilder withMinScore(SearchSourceBuilder source) {
        QueryBuilder query = QueryBuilders.functionScoreQuery(source.query()).setMinScore(source.minScore());
        source.minScore(-Float.MAX_VALUE); // the builder cannot unset it
        return query;
    }

    /** Whether the sparse clause may add hits that the user's query does not match. */
    static boolean isUnion(MatchSet matchSet, SearchSourceBuilder source) {
        return switch (matchSet) {
            case LEXICAL -> false;
            case UNION -> allowsUnion(source.query());
            case AUTO -> allowsUnion(source.query()) && !dependsOnMembership(source);
        };
    }

    /**
     * Whether hits outside the user's query still satisfy its conditions: only for full-text clauses alone or with
     * filters, because a union would bypass any other must clause.
     */
    static boolean allowsUnion(QueryBuilder query) {
        if (!(query instanceof BoolQueryBuilder bool)) {
            return isPlainText(query);
        }
        if (bool.minimumShouldMatch() != null) {
            return false;
        }
        return switch (bool.must().size()) {
            case 0 -> !bool.should().isEmpty() && bool.should().stream().allMatch(FirstStage::isPlainText);
            case 1 -> isPlainText(bool.must().get(0));
            default -> false;
        };
    }

    /** Whether additional hits would change totals, aggregations or the order. */
    static boolean dependsOnMembership(SearchSourceBuilder source) {
        Integer upTo = source.trackTotalHitsUpTo();
        boolean exact = upTo != null && upTo == SearchContext.TRACK_TOTAL_HITS_ACCURATE;
        return source.aggregations() != null || source.collapse() != null || source.minScore() != null || exact || isSorted(source);
    }

    /** Whether the request sorts by anything but descending score. */
    static boolean isSorted(SearchSourceBuilder source) {
        List<SortBuilder<?>> sorts = source.sorts();
        if (sorts == null || sorts.isEmpty()) {
            return false;
        }
        return !(sorts.get(0) instanceof ScoreSortBuilder) || sorts.get(0).order() != SortOrder.DESC;
    }

    private static boolean isPlainText(QueryBuilder query) {
        return switch (query) {
            case MatchQueryBuilder match -> match.operator() == Operator.OR && match.minimumShouldMatch() == null;
            case MultiMatchQueryBuilder match -> match.operator() == Operator.OR && match.minimumShouldMatch() == null;
            case null, default -> false;
        };
    }

    private static String first(List<QueryBuilder> musts, List<QueryBuilder> shoulds) {
        for (List<QueryBuilder> clauses : List.of(musts, shoulds)) {
            for (QueryBuilder clause : clauses) {
                String text = text(clause);
                if (text != null) {
                    return text;
                }
            }
        }
        return null;
    }

    private static String nonBlank(Object value) {
        return value instanceof String text && !text.isBlank() ? text : null;
    }
}
