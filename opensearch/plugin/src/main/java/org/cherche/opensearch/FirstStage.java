package org.cherche.opensearch;

import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.lucene.search.join.ScoreMode;
import org.cherche.opensearch.Options.MatchSet;
import org.opensearch.common.regex.Regex;
import org.opensearch.common.xcontent.XContentHelper;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.BoostingQueryBuilder;
import org.opensearch.index.query.DisMaxQueryBuilder;
import org.opensearch.index.query.MatchBoolPrefixQueryBuilder;
import org.opensearch.index.query.MatchPhrasePrefixQueryBuilder;
import org.opensearch.index.query.MatchPhraseQueryBuilder;
import org.opensearch.index.query.MatchNoneQueryBuilder;
import org.opensearch.index.query.MatchQueryBuilder;
import org.opensearch.index.query.MultiMatchQueryBuilder;
import org.opensearch.index.query.NestedQueryBuilder;
import org.opensearch.index.query.Operator;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.index.query.functionscore.FunctionScoreQueryBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
import org.opensearch.search.sort.ScoreSortBuilder;
import org.opensearch.search.sort.SortBuilder;
import org.opensearch.search.sort.SortOrder;

/**
 * Decides which text of a search is encoded and whether its weights may bring in hits of their own, and combines the
 * user's query, which stays one unchanged clause, with the sparse clause. {@code tests/contract/membership.json} holds
 * this class and the sidecar's {@code pipeline/match_set.py} to the same answers.
 */
final class FirstStage {

    /**
     * A decision.
     *
     * @param text what is encoded; empty where there is nothing
     * @param matchSet union: either clause finds hits, within the user's filters; lexical: the user's query decides, term
     *     weights only add score; none: the query stays as it is
     * @param reason why
     */
    record Membership(String text, String matchSet, String reason) {

        boolean isUnion() {
            return UNION.equals(matchSet);
        }

        boolean isRewritten() {
            return !NONE.equals(matchSet);
        }
    }

    static final String UNION = "union";
    static final String LEXICAL = "lexical";
    static final String NONE = "none";

    private static final String PLAIN = "one full-text clause on encoded fields";
    private static final String PINNED = "the request says so";
    private static final String SEVERAL = "several scoring clauses decide which documents match";
    private static final String OPTIONAL = "a filter makes the should clause optional";
    private static final String ELSEWHERE = "a searched field is not encoded";
    private static final String NO_TEXT = "no full-text clause scores on an encoded field, and the request names no text";
    /** Their scores are on scales of their own, and some of them may stand at the top of a search only. */
    private static final Set<String> NOT_REWRITTEN = Set.of(
        "knn",
        "neural",
        "neural_sparse",
        "hybrid",
        "script_score",
        "semantic",
        "sparse_vector",
        "text_expansion",
        "weighted_tokens"
    );
    /** Name of a clause that matches nothing: it tells inner searches of {@code collapse} that their query was decided. */
    private static final String DECIDED = "cherche_decided";
    private static final Set<MultiMatchQueryBuilder.Type> STRICT = Set.of(
        MultiMatchQueryBuilder.Type.PHRASE,
        MultiMatchQueryBuilder.Type.PHRASE_PREFIX,
        MultiMatchQueryBuilder.Type.BOOL_PREFIX
    );

    /** A full-text clause: its fields, or patterns of fields, and its text. */
    private record FullText(Collection<String> fields, Object text) {}

    private FirstStage() {}

    /**
     * Decides the membership of one search.
     *
     * @param encoded names of the encoded fields
     * @param named the text that the request names; null takes it from the query
     */
    static Membership decide(SearchSourceBuilder source, Collection<String> encoded, MatchSet wanted, String named) {
        QueryBuilder query = source == null ? null : source.query();
        List<QueryBuilder> scoring = query == null ? List.of() : scoring(query).toList();
        String text = named == null || named.isBlank()
            ? scoring.stream().map(clause -> text(clause, encoded)).filter(found -> !found.isEmpty()).findFirst().orElse("")
            : named;
        String foreign = scoring.stream().map(QueryBuilder::getName).filter(NOT_REWRITTEN::contains).findFirst().orElse("");
        if (!foreign.isEmpty()) {
            return new Membership(text, NONE, foreign + " is not rewritten");
        }
        if (text.isEmpty()) {
            return new Membership("", NONE, NO_TEXT);
        }
        if (query == null) {
            return new Membership(text, NONE, "the search has no query");
        }
        if (wanted == MatchSet.LEXICAL) {
            return new Membership(text, LEXICAL, PINNED);
        }
        String decisive = decidedBy(query, encoded);
        if (!decisive.isEmpty()) {
            return new Membership(text, LEXICAL, decisive);
        }
        if (wanted == MatchSet.UNION) {
            return new Membership(text, UNION, PINNED);
        }
        if (source.collapse() != null || source.minScore() != null) {
            return new Membership(text, LEXICAL, "the request has " + (source.collapse() != null ? "collapse" : "min_score"));
        }
        return new Membership(text, UNION, PLAIN);
    }

    /** The clauses that score, in document order, {@code must} before {@code should}. */
    private static Stream<QueryBuilder> scoring(QueryBuilder query) {
        return switch (query) {
            case BoolQueryBuilder bool -> Stream.concat(bool.must().stream(), bool.should().stream()).flatMap(FirstStage::scoring);
            case DisMaxQueryBuilder disMax -> disMax.innerQueries().stream().flatMap(FirstStage::scoring);
            case FunctionScoreQueryBuilder function -> scoring(function.query());
            case BoostingQueryBuilder boosting -> scoring(boosting.positiveQuery());
            case NestedQueryBuilder nested when nested.scoreMode() != ScoreMode.None -> scoring(nested.query());
            default -> Stream.of(query);
        };
    }

    /** The text of a full-text clause on an encoded field; empty for any other clause. */
    private static String text(QueryBuilder query, Collection<String> encoded) {
        FullText clause = switch (query) {
            case MatchQueryBuilder match -> new FullText(List.of(match.fieldName()), match.value());
            case MatchPhraseQueryBuilder phrase -> new FullText(List.of(phrase.fieldName()), phrase.value());
            case MatchPhrasePrefixQueryBuilder phrase -> new FullText(List.of(phrase.fieldName()), phrase.value());
            case MatchBoolPrefixQueryBuilder prefix -> new FullText(List.of(prefix.fieldName()), prefix.value());
            case MultiMatchQueryBuilder match -> new FullText(fields(match), match.value());
            default -> isCombined(query) ? new FullText(fields(combined(query)), combined(query).get("query")) : null;
        };
        if (clause == null || !(clause.text instanceof String text) || text.isBlank()) {
            return "";
        }
        return encoded.stream().anyMatch(name -> clause.fields.stream().anyMatch(field -> Regex.simpleMatch(field, name))) ? text : "";
    }

    /** Why the query alone decides its hits; empty where weights may bring in more. */
    private static String decidedBy(QueryBuilder query, Collection<String> encoded) {
        QueryBuilder clause = query;
        if (query instanceof BoolQueryBuilder bool) {
            if (bool.minimumShouldMatch() != null) {
                return deciding("minimum_should_match");
            }
            List<QueryBuilder> scoring = Stream.concat(bool.must().stream(), bool.should().stream()).toList();
            if (scoring.size() != 1) {
                return scoring.isEmpty() ? deciding(bool.getName()) : SEVERAL;
            }
            if (bool.must().isEmpty() && !bool.filter().isEmpty()) {
                return OPTIONAL;
            }
            clause = scoring.get(0);
        }
        return switch (clause) {
            case MatchQueryBuilder match -> decidedBy(
                match.operator(),
                match.minimumShouldMatch(),
                match.fuzziness(),
                null,
                encoded.contains(match.fieldName())
            );
            case MultiMatchQueryBuilder match -> decidedBy(
                match.operator(),
                match.minimumShouldMatch(),
                match.fuzziness(),
                match.type(),
                encoded.containsAll(fields(match))
            );
            default -> isCombined(clause) ? decidedBy(combined(clause), encoded) : deciding(clause.getName());
        };
    }

    private static String decidedBy(Map<String, Object> combined, Collection<String> encoded) {
        Operator operator = Operator.fromString(String.valueOf(combined.getOrDefault("operator", Operator.OR)));
        return decidedBy(operator, (String) combined.get("minimum_should_match"), null, null, encoded.containsAll(fields(combined)));
    }

    private static String decidedBy(
        Operator operator,
        String minimum,
        Object fuzziness,
        MultiMatchQueryBuilder.Type type,
        boolean isEncoded
    ) {
        if (operator == Operator.AND) {
            return deciding("operator and");
        }
        if (type != null && STRICT.contains(type)) {
            return deciding("type " + type.name().toLowerCase(Locale.ROOT));
        }
        if (minimum != null) {
            return deciding("minimum_should_match");
        }
        if (fuzziness != null) {
            return deciding("fuzziness");
        }
        return isEncoded ? "" : ELSEWHERE;
    }

    private static String deciding(String what) {
        return what + " decides which documents match";
    }

    private static boolean isCombined(QueryBuilder query) {
        return query.getName().equals("combined_fields");
    }

    /** Options of a {@code combined_fields}, read from its JSON: OpenSearch has its class since 3.2 only. */
    private static Map<String, Object> combined(QueryBuilder query) {
        Map<String, Object> json = XContentHelper.convertToMap(JsonXContent.jsonXContent, query.toString(), true);
        return json.get(query.getName()) instanceof Map<?, ?> options
            ? options.entrySet().stream().collect(Collectors.toMap(entry -> (String) entry.getKey(), Map.Entry::getValue))
            : Map.of();
    }

    private static Collection<String> fields(Map<String, Object> combined) {
        return combined.get("fields") instanceof Collection<?> named
            ? named.stream().map(field -> field.toString().replaceAll("\\^.*", "")).toList()
            : List.of();
    }

    /** The fields that a multi_match names; all where it names none. */
    private static Collection<String> fields(MultiMatchQueryBuilder match) {
        Map<String, Float> named = match.fields();
        return named.isEmpty() ? List.of("*") : named.keySet();
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
        if (!(users instanceof BoolQueryBuilder bool)) {
            return QueryBuilders.boolQuery().should(users).should(sparse).minimumShouldMatch(1);
        }
        // Conditions around both, and only there: the engine refuses one with inner hits that is written twice.
        BoolQueryBuilder scoring = QueryBuilders.boolQuery().boost(bool.boost()).queryName(bool.queryName());
        scoring.adjustPureNegative(bool.adjustPureNegative());
        bool.must().forEach(scoring::must);
        bool.should().forEach(scoring::should);
        BoolQueryBuilder both = QueryBuilders.boolQuery().should(scoring).should(sparse).minimumShouldMatch(1);
        bool.filter().forEach(both::filter);
        bool.mustNot().forEach(both::mustNot);
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

    /**
     * Marks the query where {@code collapse} has inner hits. The engine repeats the query of the search for each group,
     * through the same pipeline but without {@code ext}: such a search must run as the one around it does.
     */
    static void markForInnerHits(SearchSourceBuilder source) {
        CollapseBuilder collapse = source == null ? null : source.collapse();
        boolean hasInnerHits = collapse != null && collapse.getInnerHits() != null && !collapse.getInnerHits().isEmpty();
        // Some queries of other plugins must stay at the top.
        if (hasInnerHits && source.query() != null && !NOT_REWRITTEN.contains(source.query().getName())) {
            source.query(QueryBuilders.boolQuery().must(source.query()).should(new MatchNoneQueryBuilder().queryName(DECIDED)));
        }
    }

    /** Whether a search is one of those inner searches: its query is that of another search, within a {@code bool}. */
    static boolean isOfInnerHits(SearchSourceBuilder source) {
        return source != null && isDecided(source.query());
    }

    private static boolean isDecided(QueryBuilder query) {
        return switch (query) {
            case MatchNoneQueryBuilder none -> DECIDED.equals(none.queryName());
            case BoolQueryBuilder bool -> Stream.concat(bool.must().stream(), bool.should().stream()).anyMatch(FirstStage::isDecided);
            case null, default -> false;
        };
    }

    /** Whether hits carry values that {@code search_after} may continue with; the score alone is no such sort. */
    static boolean hasSortValues(SearchSourceBuilder source) {
        return source.sorts() != null && source.sorts().size() > 1;
    }

    /** Whether the request sorts by anything but descending score. */
    static boolean isSorted(SearchSourceBuilder source) {
        List<SortBuilder<?>> sorts = source.sorts();
        if (sorts == null || sorts.isEmpty()) {
            return false;
        }
        return !(sorts.get(0) instanceof ScoreSortBuilder) || sorts.get(0).order() != SortOrder.DESC;
    }
}
