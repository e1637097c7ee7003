package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.cherche.opensearch.FirstStage.Membership;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.xcontent.LoggingDeprecationHandler;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchModule;
import org.opensearch.search.builder.SearchSourceBuilder;

class PhasesTests {

    private static final NamedXContentRegistry QUERIES =
        new NamedXContentRegistry(TestNode.queries(new SearchModule(Settings.EMPTY, List.of())));

    static Stream<Arguments> vectors() {
        return Contract.vectors("phases.json")
            .stream()
            .filter(vector -> !"sidecar".equals(vector.get("only")))
            .map(vector -> Arguments.of(vector.get("name"), vector));
    }

    @ParameterizedTest(name = "{0}")
    @MethodSource("vectors")
    void thePhasesOfASearchAreDecidedAsInTheTable(String name, Map<String, Object> vector) throws IOException {
        var membership = new Membership("fox", (String) vector.getOrDefault("match_set", "union"), "");
        Map<?, ?> request = (Map<?, ?>) vector.getOrDefault("request", Map.of());
        Object wanted = request.containsKey("first_terms") ? request.get("first_terms") : vector.getOrDefault("index", 12);
        Object least = request.containsKey("candidates") ? request.get("candidates") : Phases.CANDIDATES;
        Phases found = Phases.decide(
            parse(vector.get("body")),
            membership,
            (int) wanted,
            (int) least,
            (int) vector.getOrDefault("window", 0),
            (int) vector.getOrDefault("from", 0),
            (int) vector.getOrDefault("size", 10)
        );
        assertEquals(new Phases((int) vector.get("terms"), (int) vector.get("candidates"), (String) vector.get("reason")), found);
    }

    private static SearchSourceBuilder parse(Object body) throws IOException {
        String json = IndexSetup.json(body).toStringUtf8();
        try (var parser = JsonXContent.jsonXContent.createParser(QUERIES, LoggingDeprecationHandler.INSTANCE, json)) {
            return SearchSourceBuilder.fromXContent(parser);
        }
    }

    private static QueryBuilder term(String name, float weight) {
        return QueryBuilders.termQuery("terms", name).boost(weight);
    }

    private static BoolQueryBuilder any(QueryBuilder... clauses) {
        BoolQueryBuilder bool = QueryBuilders.boolQuery();
        Stream.of(clauses).forEach(bool::should);
        return bool;
    }

    @Test
    void theHeaviestTermsFindCandidatesAndTheOthersAddToTheirScores() {
        QueryBuilder sparse = any(term("a", 1), term("b", 3), term("c", 2), term("d", 1));
        var halves = new Phases(2, 100, "").split(sparse);
        assertEquals(any(term("b", 3), term("c", 2)), halves.first());
        assertEquals(any(term("a", 1), term("d", 1)), halves.others());
    }

    @Test
    void aClauseWithoutMoreTermsStaysWhole() {
        QueryBuilder sparse = any(term("a", 1), term("b", 3));
        for (int terms : new int[] { 0, 2, 3 }) {
            var halves = new Phases(terms, 100, "").split(sparse);
            assertSame(sparse, halves.first());
            assertNull(halves.others());
        }
    }
}
