package org.cherche.opensearch;

import java.util.HashMap;
import java.util.Map;
import java.util.stream.Stream;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.InnerHitContextBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.fetch.subphase.FetchSourceContext;

/** Keeps our fields out of the {@code _source} of hits and inner hits. */
final class OwnFields {

    private static final String[] NAMES = IndexSetup.OWN_FIELDS.toArray(String[]::new);

    private OwnFields() {}

    /**
     * Changes a request in place. A scroll is left alone: {@code _update_by_query} and {@code _reindex} read with one,
     * and write what they read.
     */
    static void hide(SearchRequest request) {
        SearchSourceBuilder source = request.source();
        if (request.scroll() != null || source == null) {
            return;
        }
        // A request for stored fields gets no source unless it asks for it.
        if (source.storedFields() == null || source.fetchSource() != null) {
            source.fetchSource(without(source.fetchSource()));
        }
        if (source.collapse() != null) {
            source.collapse().getInnerHits().forEach(OwnFields::hide);
        }
        if (source.query() != null) {
            Map<String, InnerHitContextBuilder> found = new HashMap<>();
            try {
                InnerHitContextBuilder.extractInnerHits(source.query(), found);
            } catch (IllegalArgumentException e) {
                return; // two with one name: the search itself reports it
            }
            found.values().forEach(each -> hide(each.innerHitBuilder()));
        }
    }

    private static void hide(InnerHitBuilder hits) {
        if (hits.getStoredFieldsContext() == null || hits.getFetchSourceContext() != null) {
            hits.setFetchSourceContext(without(hits.getFetchSourceContext()));
        }
    }

    private static FetchSourceContext without(FetchSourceContext asked) {
        if (asked == null) {
            return new FetchSourceContext(true, null, NAMES);
        }
        String[] excludes = Stream.of(asked.excludes(), NAMES).flatMap(Stream::of).distinct().toArray(String[]::new);
        return asked.fetchSource() ? new FetchSourceContext(true, asked.includes(), excludes) : asked;
    }
}
