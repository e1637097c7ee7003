package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.cherche.opensearch.Options.MatchSet;
import org.junit.jupiter.api.Test;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.MatchQueryBuilder;
import org.opensearch.index.query.Operator;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.index.query.functionscore.FunctionScoreQueryBuilder;
import org.opensearch.search.aggregations.AggregationBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
import org.opensearch.search.sort.SortOrder;

class FirstStageTests {

    private static final QueryBuilder SPARSE = QueryBuilders.termQuery("sparse", "clause");

    private static MatchQueryBuilder match(String text) {
        return QueryBuilders.matchQuery("text", text);
    }

    private static BoolQueryBuilder bool() {
        return QueryBuilders.boolQuery();
    }

    private static SearchSourceBuilder source() {
        return new SearchSourceBuilder().query(match("a"));
    }

    @Test
    void findsTheFirstTextThatScores() {
        assertEquals("a", FirstStage.text(match("a")));
        assertEquals("a", FirstStage.text(QueryBuilders.multiMatchQuery("a", "title", "text")));
        assertEquals("b", FirstStage.text(bool().filter(match("a")).must(match("b")).should(match("c"))));
        assertEquals("c", FirstStage.text(bool().must(QueryBuilders.termQuery("x", 1)).should(match("c"))));
        assertEquals("d", FirstStage.text(QueryBuilders.disMaxQuery().add(match(" ")).add(match("d"))));
        assertEquals("e", FirstStage.text(QueryBuilders.functionScoreQuery(match("e"))));
    }

    @Test
    void aSearchWithoutTextHasNone() {
        assertNull(FirstStage.text(null));
        assertNull(FirstStage.text(QueryBuilders.matchAllQuery()));
        assertNull(FirstStage.text(bool().filter(match("a")).mustNot(match("b"))));
        assertNull(FirstStage.text(QueryBuilders.constantScoreQuery(match("a"))));
        assertNull(FirstStage.text(QueryBuilders.matchQuery("year", 2020)));
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
        assertEquals(List.of(users, SPARSE), both.should());
        assertEquals("1", both.minimumShouldMatch());
        assertEquals(List.of(match("b")), both.filter());
        assertEquals(List.of(match("c")), both.mustNot());
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
    void unionIsForTextAloneOrBesideFilters() {
        assertTrue(FirstStage.allowsUnion(match("a")));
        assertTrue(FirstStage.allowsUnion(bool().must(match("a")).filter(match("b")).should(QueryBuilders.termQuery("x", 1))));
        assertTrue(FirstStage.allowsUnion(bool().should(match("a")).should(match("b"))));
        assertFalse(FirstStage.allowsUnion(match("a").operator(Operator.AND)));
        assertFalse(FirstStage.allowsUnion(match("a").minimumShouldMatch("2")));
        assertFalse(FirstStage.allowsUnion(bool().must(match("a")).must(QueryBuilders.termQuery("x", 1))));
        assertFalse(FirstStage.allowsUnion(bool().must(QueryBuilders.termQuery("x", 1)).should(match("a"))));
        assertFalse(FirstStage.allowsUnion(bool().should(match("a")).minimumShouldMatch(1)));
        assertFalse(FirstStage.allowsUnion(bool().filter(match("a"))));
        assertFalse(FirstStage.allowsUnion(QueryBuilders.functionScoreQuery(match("a"))));
    }

    @Test
    void theUsersQueryAloneDecidesWhereTotalsOrAggregationsDependOnIt() {
        assertTrue(FirstStage.isUnion(MatchSet.AUTO, source()));
        assertFalse(FirstStage.isUnion(MatchSet.LEXICAL, source()));
        var aggregated = source().aggregation(AggregationBuilders.terms("t").field("f"));
        assertFalse(FirstStage.isUnion(MatchSet.AUTO, aggregated));
        assertTrue(FirstStage.isUnion(MatchSet.UNION, aggregated));
        assertFalse(FirstStage.isUnion(MatchSet.AUTO, source().trackTotalHits(true)));
        assertTrue(FirstStage.isUnion(MatchSet.AUTO, source().trackTotalHits(false)));
        assertFalse(FirstStage.isUnion(MatchSet.AUTO, source().collapse(new CollapseBuilder("f"))));
        assertFalse(FirstStage.isUnion(MatchSet.AUTO, source().minScore(1)));
    }

    @Test
    void onlyADescendingScoreIsNoSort() {
        assertFalse(FirstStage.isSorted(source()));
        assertFalse(FirstStage.isSorted(source().sort("_score").sort("year")));
        assertTrue(FirstStage.isSorted(source().sort("_score", SortOrder.ASC)));
        assertTrue(FirstStage.isSorted(source().sort("year").sort("_score")));
    }
}
