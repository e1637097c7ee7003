package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.lucene.search.join.ScoreMode;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.ShardSearchFailure;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.lucene.Lucene;
import org.opensearch.common.lucene.search.TopDocsAndMaxScore;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.aggregations.AggregationBuilders;
import org.opensearch.search.aggregations.InternalAggregations;
import org.opensearch.search.aggregations.bucket.filter.InternalFilters;
import org.opensearch.search.aggregations.metrics.InternalTopHits;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
import org.opensearch.search.fetch.subphase.FetchSourceContext;
import org.opensearch.search.internal.InternalSearchResponse;

class OwnFieldsTests {

    private static final List<String> NAMES = IndexSetup.OWN_FIELDS;

    private static SearchSourceBuilder hidden(SearchSourceBuilder source) {
        OwnFields.hide(new SearchRequest("books").source(source));
        return source;
    }

    @Test
    void theSourceOfAHitHasNoneOfOurFields() {
        assertEquals(NAMES, List.of(hidden(new SearchSourceBuilder()).fetchSource().excludes()));
        var asked = hidden(new SearchSourceBuilder().fetchSource(new String[] { "t*" }, new String[] { "text" })).fetchSource();
        assertArrayEquals(new String[] { "t*" }, asked.includes());
        assertEquals("text", asked.excludes()[0]);
        assertEquals(NAMES.size() + 1, asked.excludes().length);
    }

    @Test
    void whoAsksForNoSourceGetsNone() {
        assertFalse(hidden(new SearchSourceBuilder().fetchSource(false)).fetchSource().fetchSource());
        assertNull(hidden(new SearchSourceBuilder().storedField("_none_")).fetchSource());
    }

    @Test
    void innerHitsHaveNoneEither() {
        var groups = new InnerHitBuilder("groups");
        var parts = new InnerHitBuilder("parts").setFetchSourceContext(FetchSourceContext.DO_NOT_FETCH_SOURCE);
        var nested = QueryBuilders.nestedQuery("parts", QueryBuilders.matchAllQuery(), ScoreMode.Max).innerHit(parts);
        var collapse = new CollapseBuilder("group").setInnerHits(groups);
        hidden(new SearchSourceBuilder().query(QueryBuilders.boolQuery().must(nested)).collapse(collapse));
        assertEquals(NAMES, List.of(groups.getFetchSourceContext().excludes()));
        assertFalse(parts.getFetchSourceContext().fetchSource());
    }

    @Test
    void topHitsHaveNoneEitherHoweverDeep() {
        var top = AggregationBuilders.topHits("top");
        var nested = AggregationBuilders.topHits("nested").fetchSource(new String[] { "t*" }, null);
        var none = AggregationBuilders.topHits("none").fetchSource(false);
        var byYear = AggregationBuilders.terms("year").field("year").subAggregation(nested);
        var groups = AggregationBuilders.terms("group").field("group").subAggregation(byYear).subAggregation(none);
        hidden(new SearchSourceBuilder().size(0).aggregation(top).aggregation(groups));
        assertEquals(NAMES, List.of(top.fetchSource().excludes()));
        assertEquals(NAMES, List.of(nested.fetchSource().excludes()));
        assertArrayEquals(new String[] { "t*" }, nested.fetchSource().includes());
        assertFalse(none.fetchSource().fetchSource());
    }

    private static Set<String> unasked(SearchSourceBuilder source) {
        return OwnFields.hide(new SearchRequest("books").source(source));
    }

    @Test
    void whatAPatternOfFieldsBringsIsToBeRemoved() {
        Set<String> all = Set.copyOf(NAMES);
        assertEquals(all, unasked(new SearchSourceBuilder().fetchField("*")));
        assertEquals(all, unasked(new SearchSourceBuilder().docValueField("cherche*")));
        assertEquals(all, unasked(new SearchSourceBuilder().storedField("*")));
        assertEquals(Set.of("cherche_codes"), unasked(new SearchSourceBuilder().fetchField("title").fetchField("*_codes")));
        assertEquals(all, unasked(new SearchSourceBuilder().aggregation(AggregationBuilders.topHits("top").fetchField("*"))));
        var groups = new CollapseBuilder("group").setInnerHits(new InnerHitBuilder("i").addFetchField("*"));
        assertEquals(all, unasked(new SearchSourceBuilder().collapse(groups)));
    }

    @Test
    void whatARequestNamesIsReturned() {
        assertEquals(Set.of(), unasked(new SearchSourceBuilder().fetchField("title").docValueField("cherche_codes")));
        Set<String> others = unasked(new SearchSourceBuilder().fetchField("*").docValueField("cherche_codes"));
        assertFalse(others.contains("cherche_codes"));
        assertEquals(NAMES.size() - 1, others.size());
    }

    private static SearchHit hit(String... fields) {
        Map<String, DocumentField> found = new HashMap<>();
        Stream.of(fields).forEach(name -> found.put(name, new DocumentField(name, List.of(1))));
        return new SearchHit(0, "a", found, Map.of());
    }

    private static SearchHits hits(SearchHit... hits) {
        return new SearchHits(hits, null, 1);
    }

    private static InternalTopHits top(SearchHit hit) {
        var docs = new TopDocsAndMaxScore(Lucene.EMPTY_TOP_DOCS, 1);
        return new InternalTopHits("top", 0, 1, docs, hits(hit), Map.of());
    }

    @Test
    void fieldsAreRemovedFromAllHitsOfAResponse() {
        SearchHit outer = hit("title", "cherche_codes", "cherche_weights.car", "cherche_maxsim");
        SearchHit inner = hit("cherche_codes", "title");
        SearchHit topmost = hit("cherche_codes", "title");
        SearchHit bucketed = hit("cherche_codes", "title");
        outer.setInnerHits(Map.of("inner", hits(inner)));
        var bucket = new InternalFilters.InternalBucket("f", 1, InternalAggregations.from(List.of(top(bucketed))), true);
        var filters = new InternalFilters("filters", List.of(bucket), true, Map.of());
        var aggregations = InternalAggregations.from(List.of(top(topmost), filters));
        var sections = new InternalSearchResponse(hits(outer, hit()), aggregations, null, null, false, null, 1);
        var response = new SearchResponse(sections, null, 1, 1, 0, 5, ShardSearchFailure.EMPTY_ARRAY, SearchResponse.Clusters.EMPTY);
        OwnFields.remove(response, Set.of());
        assertEquals(4, outer.getDocumentFields().size());
        OwnFields.remove(response, Set.of("cherche_codes", "cherche_weights"));
        assertEquals(Set.of("title", "cherche_maxsim"), outer.getDocumentFields().keySet());
        for (SearchHit each : List.of(inner, topmost, bucketed)) {
            assertEquals(Set.of("title"), each.getDocumentFields().keySet());
        }
    }

    @Test
    void aScrollReadsWholeDocuments() {
        var source = new SearchSourceBuilder().fetchField("*");
        assertEquals(Set.of(), OwnFields.hide(new SearchRequest("books").source(source).scroll(TimeValue.timeValueMinutes(1))));
        assertNull(source.fetchSource());
        assertEquals(Set.of(), OwnFields.hide(new SearchRequest("books")));
    }
}
