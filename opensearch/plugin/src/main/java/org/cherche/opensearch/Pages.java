package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.SearchResponseSections;
import org.opensearch.search.SearchExtBuilder;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.aggregations.InternalAggregations;
import org.opensearch.search.internal.InternalSearchResponse;
import org.opensearch.search.profile.SearchProfileShardResults;

/** Builds search responses with other hits; everything else of a response is kept. */
final class Pages {

    private Pages() {}

    /**
     * The user's page of a response, which may hold a whole window.
     *
     * @param order positions of all hits in their new order; null keeps the order
     */
    static SearchResponse cut(SearchResponse response, int[] order, SearchState state, ChercheExt ext) {
        SearchHits hits = response.getHits();
        boolean isWidened = state.embeddings != null;
        int count = hits.getHits().length;
        int start = isWidened ? Math.min(state.from, count) : 0;
        int end = isWidened ? Math.min(state.from + state.size, count) : count;
        SearchHit[] page = new SearchHit[end - start];
        Object[] collapse = hits.getCollapseValues();
        Object[] values = collapse == null ? null : Arrays.copyOf(collapse, page.length);
        for (int place = start; place < end; place++) {
            int position = order == null ? place : order[place];
            page[place - start] = hits.getAt(position);
            if (values != null) {
                values[place - start] = collapse[position];
            }
        }
        boolean isRescored = order != null || SearchState.OUTSIDE_WINDOW.equals(state.rerankStatus);
        float best = isRescored ? best(hits, order) : hits.getMaxScore();
        var cut = new SearchHits(page, hits.getTotalHits(), best, hits.getSortFields(), hits.getCollapseField(), values);
        return with(response, cut, ext);
    }

    /** The largest score of hits that were given new ones; none where there are no hits: the engine's is on another scale. */
    private static float best(SearchHits hits, int[] order) {
        return hits.getHits().length == 0 ? Float.NaN : hits.getAt(order == null ? 0 : order[0]).getScore();
    }

    /** The same response with other hits and {@code ext.cherche}. */
    static SearchResponse with(SearchResponse response, SearchHits hits, ChercheExt ext) {
        SearchResponseSections sections = response.getInternalResponse();
        List<SearchExtBuilder> exts = new ArrayList<>(sections.getSearchExtBuilders());
        exts.removeIf(other -> other instanceof ChercheExt);
        exts.add(ext);
        var profile = sections.profile().isEmpty() ? null : new SearchProfileShardResults(sections.profile());
        var internal = new InternalSearchResponse(
            hits,
            (InternalAggregations) sections.aggregations(),
            sections.suggest(),
            profile,
            sections.timedOut(),
            sections.terminatedEarly(),
            sections.getNumReducePhases(),
            exts,
            sections.getProcessorResult()
        );
        return new SearchResponse(
            internal,
            response.getScrollId(),
            response.getTotalShards(),
            response.getSuccessfulShards(),
            response.getSkippedShards(),
            response.getTook().millis(),
            response.getPhaseTook(),
            response.getShardFailures(),
            response.getClusters(),
            response.pointInTimeId()
        );
    }
}
