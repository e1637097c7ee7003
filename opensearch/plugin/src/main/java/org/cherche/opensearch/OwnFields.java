package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.regex.Regex;
import org.opensearch.index.query.InnerHitBuilder;
import org.opensearch.index.query.InnerHitContextBuilder;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.aggregations.Aggregation;
import org.opensearch.search.aggregations.AggregationBuilder;
import org.opensearch.search.aggregations.Aggregations;
import org.opensearch.search.aggregations.HasAggregations;
import org.opensearch.search.aggregations.bucket.MultiBucketsAggregation;
import org.opensearch.search.aggregations.metrics.TopHits;
import org.opensearch.search.aggregations.metrics.TopHitsAggregationBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.fetch.StoredFieldsContext;
import org.opensearch.search.fetch.subphase.FetchSourceContext;
import org.opensearch.search.fetch.subphase.FieldAndFormat;

/**
 * Keeps our fields out of hits, inner hits and those of {@code top_hits}: out of their {@code _source}, and out of what a
 * pattern of fields brings. A field of ours that a request names in {@code fields} and the like is returned.
 */
final class OwnFields {

    private static final String[] NAMES = IndexSetup.OWN_FIELDS.toArray(String[]::new);

    private OwnFields() {}

    /**
     * Changes a request in place. A scroll is left alone: {@code _update_by_query} and {@code _reindex} read with one,
     * and write what they read.
     *
     * @return those of our fields that a pattern of the request brings, to be removed from the response: no request can
     *     exclude them
     */
    static Set<String> hide(SearchRequest request) {
        SearchSourceBuilder source = request.source();
        if (request.scroll() != null || source == null) {
            return Set.of();
        }
        List<String> asked = new ArrayList<>();
        if (showsSource(source.storedFields(), source.fetchSource())) {
            source.fetchSource(without(source.fetchSource()));
        }
        collect(asked, source.fetchFields(), source.docValueFields(), source.storedFields());
        if (source.collapse() != null) {
            source.collapse().getInnerHits().forEach(hits -> hide(hits, asked));
        }
        if (source.aggregations() != null) {
            hide(source.aggregations().getAggregatorFactories(), asked);
        }
        if (source.query() != null) {
            Map<String, InnerHitContextBuilder> found = new HashMap<>();
            try {
                InnerHitContextBuilder.extractInnerHits(source.query(), found);
            } catch (IllegalArgumentException e) {
                return Set.of(); // two with one name: the search itself reports it
            }
            found.values().forEach(each -> hide(each.innerHitBuilder(), asked));
        }
        return unasked(asked);
    }

    private static void hide(InnerHitBuilder hits, List<String> asked) {
        if (showsSource(hits.getStoredFieldsContext(), hits.getFetchSourceContext())) {
            hits.setFetchSourceContext(without(hits.getFetchSourceContext()));
        }
        collect(asked, hits.getFetchFields(), hits.getDocValueFields(), hits.getStoredFieldsContext());
    }

    private static void hide(Collection<AggregationBuilder> aggregations, List<String> asked) {
        for (AggregationBuilder each : aggregations) {
            if (each instanceof TopHitsAggregationBuilder hits) {
                if (showsSource(hits.storedFields(), hits.fetchSource())) {
                    hits.fetchSource(without(hits.fetchSource()));
                }
                collect(asked, hits.fetchFields(), hits.docValueFields(), hits.storedFields());
            }
            hide(each.getSubAggregations(), asked);
        }
    }

    /** A request for stored fields gets no source unless it asks for it. */
    private static boolean showsSource(StoredFieldsContext stored, FetchSourceContext source) {
        return stored == null || source != null;
    }

    private static FetchSourceContext without(FetchSourceContext asked) {
        if (asked == null) {
            return new FetchSourceContext(true, null, NAMES);
        }
        String[] excludes = Stream.of(asked.excludes(), NAMES).flatMap(Stream::of).distinct().toArray(String[]::new);
        return asked.fetchSource() ? new FetchSourceContext(true, asked.includes(), excludes) : asked;
    }

    private static void collect(List<String> asked, List<FieldAndFormat> fields, List<FieldAndFormat> values, StoredFieldsContext stored) {
        Stream.of(fields, values).filter(each -> each != null).flatMap(List::stream).forEach(each -> asked.add(each.field));
        if (stored != null && stored.fieldNames() != null) {
            asked.addAll(stored.fieldNames());
        }
    }

    private static Set<String> unasked(List<String> asked) {
        Set<String> named = asked.stream().map(OwnFields::root).collect(Collectors.toSet());
        return IndexSetup.OWN_FIELDS.stream()
            .filter(name -> !named.contains(name) && asked.stream().anyMatch(pattern -> Regex.simpleMatch(root(pattern), name)))
            .collect(Collectors.toUnmodifiableSet());
    }

    /** A field that is not mapped is listed by the keys within it. */
    private static String root(String field) {
        int dot = field.indexOf('.');
        return dot < 0 ? field : field.substring(0, dot);
    }

    /** Removes fields from all hits of a response, in place. */
    static void remove(SearchResponse response, Set<String> names) {
        if (!names.isEmpty()) {
            remove(response.getHits(), names);
            remove(response.getAggregations(), names);
        }
    }

    private static void remove(SearchHits hits, Set<String> names) {
        for (SearchHit hit : hits) {
            List.copyOf(hit.getDocumentFields().keySet())
                .stream()
                .filter(field -> names.contains(root(field)))
                .forEach(hit::removeDocumentField);
            if (hit.getInnerHits() != null) {
                hit.getInnerHits().values().forEach(inner -> remove(inner, names));
            }
        }
    }

    private static void remove(Aggregations aggregations, Set<String> names) {
        if (aggregations == null) {
            return;
        }
        for (Aggregation each : aggregations) {
            switch (each) {
                case TopHits top -> remove(top.getHits(), names);
                case HasAggregations one -> remove(one.getAggregations(), names);
                case MultiBucketsAggregation many -> many.getBuckets().forEach(bucket -> remove(bucket.getAggregations(), names));
                default -> { /* no hits */ }
            }
        }
    }
}
