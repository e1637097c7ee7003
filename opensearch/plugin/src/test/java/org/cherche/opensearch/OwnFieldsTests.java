package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.util.List;
import org.apache.lucene.search.join.ScoreMode;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.collapse.CollapseBuilder;
import org.opensearch.search.fetch.subphase.FetchSourceContext;

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
    void aScrollReadsWholeDocuments() {
        var source = new SearchSourceBuilder();
        OwnFields.hide(new SearchRequest("books").source(source).scroll(TimeValue.timeValueMinutes(1)));
        assertNull(source.fetchSource());
        OwnFields.hide(new SearchRequest("books"));
    }
}
