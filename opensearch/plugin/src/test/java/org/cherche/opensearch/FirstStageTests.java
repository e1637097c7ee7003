package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.join.ScoreMode;
import org.cherche.opensearch.Options.MatchSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.xcontent.LoggingDeprecationHandler;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.ParseField;
import org.opensearch.core.common.io.stream.StreamOutput;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.core.xcontent.XContentBuilder;
import org.opensearch.index.query.AbstractQueryBuilder;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.InnerHitContextBuilder;
import org.opensearch.index.query.MatchQueryBuilder;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.index.query.QueryShardContext;
import org.opensearch.index.query.functionscore.FunctionScoreQueryBuilder;
import org.opensearch.search.SearchModule;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
import org.opensearch.search.sort.SortOrder;

class FirstStageTests {

    private static final QueryBuilder SPARSE = QueryBuilders.termQuery("sparse", "clause");
    /** The queries of the engine, and stand-ins for those of other plugins. */
    private static final NamedXContentRegistry QUERIES = new NamedXContentRegistry(
        Stream.concat(
            TestNode.queries(new SearchModule(Settings.EMPTY, List.of())).stream(),
            Stream.of("knn", "neural", "neural_sparse", "hybrid").map(FirstStageTests::foreign)
        ).toList()
    );

    private static MatchQueryBuilder match(String text) {
        return QueryBuilders.matchQuery("text", text);
    }

    private static BoolQueryBuilder bool() {
        return QueryBuilders.boolQuery();
    }

    private static SearchSourceBuilder source() {
        return new SearchSourceBuilder().query(match("a"));
    }

    static Stream<Arguments> vectors() {
        return Contract.vectors("membership.json")
            .stream()
            .filter(vector -> !"sidecar".equals(vector.get("only")))
            .map(vector -> Arguments.of(vector.get("name"), vector));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("vectors")
    void aSearchIsDecidedAndRewrittenAsInTheTable(String name, Map<String, Object> vector) throws IOException {
        SearchSourceBuilder source = parse(vector.get("body"));
        var found = FirstStage.decide(source, encoded(vector), pin(vector), (String) vector.get("named"));
        assertEquals(
            List.of(vector.get("text"), vector.get("match_set"), vector.get("reason")),
            List.of(found.text(), found.matchSet(), found.reason())
        );
        QueryBuilder users = source.query();
        if (!found.isRewritten()) {
            assertEquals("$query", vector.get("rewritten"));
            return;
        }
        QueryBuilder limited = found.isUnion() || source.minScore() == null ? users : FirstStage.withMinScore(source);
        assertEquals(rewritten(vector.get("rewritten"), users), FirstStage.hybrid(limited, SPARSE, found.isUnion()));
    }

    @SuppressWarnings("unchecked")
    private static List<String> encoded(Map<String, Object> vector) {
        return (List<String>) vector.getOrDefault("encoded", Contract.read("membership.json").get("encoded"));
    }

    private static MatchSet pin(Map<String, Object> vector) {
        return MatchSet.valueOf(String.valueOf(vector.getOrDefault("pin", "auto")).toUpperCase(Locale.ROOT));
    }

    /** The rewritten query of the table, with both parts in place of their names. */
    private static QueryBuilder rewritten(Object expected, QueryBuilder users) throws IOException {
        String named = IndexSetup.json(expected).toStringUtf8();
        String json = named.replace("\"$query\"", users.toString()).replace("\"$sparse\"", SPARSE.toString());
        return parse("{\"query\": " + json + "}").query();
    }

    private static SearchSourceBuilder parse(Object body) throws IOException {
        String json = body instanceof String text ? text : IndexSetup.json(body).toStringUtf8();
        try (var parser = JsonXContent.jsonXContent.createParser(QUERIES, LoggingDeprecationHandler.INSTANCE, json)) {
            return SearchSourceBuilder.fromXContent(parser);
        }
    }

    @Test
    void lexicalKeepsTheUsersQueryAsItsOnlyCondition() {
        QueryBuilder users = bool().must(match("a")).filter(match("b"));
        BoolQueryBuilder both = (BoolQueryBuilder) FirstStage.hybrid(users, SPARSE, false);
        assertSame(users, both.must().get(0));
        assertEquals(List.of(SPARSE), both.should());
        assertNull(both.minimumShouldMatch());
    }

    @Test
    void unionLiftsWhatTheUsersQueryFilters() {
        QueryBuilder users = bool().must(match("a")).filter(match("b")).mustNot(match("c"));
        BoolQueryBuilder both = (BoolQueryBuilder) FirstStage.hybrid(users, SPARSE, true);
        assertEquals(List.of(bool().must(match("a")), SPARSE), both.should());
        assertEquals("1", both.minimumShouldMatch());
        assertEquals(List.of(match("b")), both.filter());
        assertEquals(List.of(match("c")), both.mustNot());
    }

    @Test
    void aConditionWithInnerHitsStandsOnceInAUnion() {
        QueryBuilder nested = QueryBuilders.nestedQuery("comments", match("b"), ScoreMode.None).innerHit(new InnerHitBuilder("same"));
        QueryBuilder both = FirstStage.hybrid(bool().must(match("a")).filter(nested), SPARSE, true);
        Map<String, InnerHitContextBuilder> found = new HashMap<>();
        InnerHitContextBuilder.extractInnerHits(both, found); // refuses two of one name
        assertEquals(Set.of("same"), found.keySet());
    }

    @Test
    void minScoreBecomesAConditionOfTheUsersQuery() {
        SearchSourceBuilder source = source().minScore(2.5f);
        var limited = (FunctionScoreQueryBuilder) FirstStage.withMinScore(source);
        assertEquals(match("a"), limited.query());
        assertEquals(2.5f, limited.getMinScore());
        assertTrue(source.minScore() < 0);
    }

    @Test
    void aQueryIsMarkedWhereCollapseRepeatsIt() {
        var inner = new CollapseBuilder("year").setInnerHits(new InnerHitBuilder("same"));
        SearchSourceBuilder outer = source().collapse(inner);
        assertFalse(FirstStage.isOfInnerHits(outer));
        FirstStage.markForInnerHits(outer);
        var marked = (BoolQueryBuilder) outer.query();
        assertEquals(List.of(match("a")), marked.must(), "scores as before");
        assertEquals("match_none", marked.should().get(0).getName());
        // as ExpandSearchPhase does, and then a filter of another processor
        QueryBuilder repeated = bool().filter(QueryBuilders.matchQuery("year", 2020)).must(outer.query());
        assertTrue(FirstStage.isOfInnerHits(new SearchSourceBuilder().query(repeated)));
        assertTrue(FirstStage.isOfInnerHits(new SearchSourceBuilder().query(bool().must(repeated).filter(match("b")))));
        for (SearchSourceBuilder source : List.of(source(), source().collapse(new CollapseBuilder("year")))) {
            FirstStage.markForInnerHits(source);
            assertEquals(match("a"), source.query());
        }
        SearchSourceBuilder foreign = new SearchSourceBuilder().query(new Foreign("hybrid", Map.of())).collapse(inner);
        FirstStage.markForInnerHits(foreign);
        assertEquals("hybrid", foreign.query().getName(), "it must stay at the top");
        FirstStage.markForInnerHits(new SearchSourceBuilder().collapse(inner));
        FirstStage.markForInnerHits(null);
        assertFalse(FirstStage.isOfInnerHits(null));
    }

    @Test
    void aTieBreakerGivesSortValues() {
        assertFalse(FirstStage.hasSortValues(source()));
        assertFalse(FirstStage.hasSortValues(source().sort("_score")));
        assertTrue(FirstStage.hasSortValues(source().sort("_score").sort("year")));
    }

    @Test
    void onlyADescendingScoreIsNoSort() {
        assertFalse(FirstStage.isSorted(source()));
        assertFalse(FirstStage.isSorted(source().sort("_score").sort("year")));
        assertTrue(FirstStage.isSorted(source().sort("_score", SortOrder.ASC)));
        assertTrue(FirstStage.isSorted(source().sort("year").sort("_score")));
    }

    private static NamedXContentRegistry.Entry foreign(String name) {
        return new NamedXContentRegistry.Entry(QueryBuilder.class, new ParseField(name), parser -> new Foreign(name, parser.map()));
    }

    /** A query of another plugin. */
    private static final class Foreign extends AbstractQueryBuilder<Foreign> {

        private final String name;
        private final Map<String, Object> body;

        Foreign(String name, Map<String, Object> body) {
            this.name = name;
            this.body = body;
        }

        @Override
        public String getWriteableName() {
            return name;
        }

        @Override
        protected void doWriteTo(StreamOutput out) {
            throw new UnsupportedOperationException();
        }

        @Override
        protected void doXContent(XContentBuilder builder, Params params) throws IOException {
            builder.field(name, body);
        }

        @Override
        protected Query doToQuery(QueryShardContext context) {
            throw new UnsupportedOperationException();
        }

        @Override
        protected boolean doEquals(Foreign other) {
            return name.equals(other.name) && body.equals(other.body);
        }

        @Override
        protected int doHashCode() {
            return Objects.hash(name, body);
        }
    }
}
