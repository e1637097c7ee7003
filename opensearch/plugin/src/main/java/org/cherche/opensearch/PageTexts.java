package org.cherche.opensearch;

import com.google.protobuf.ByteString;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.support.ContextPreservingActionListener;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.action.ActionListener;
import org.opensearch.index.mapper.RoutingFieldMapper;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;
import org.opensearch.search.builder.PointInTimeBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.transport.client.Client;

/**
 * Reads the encoded fields of hits that are shown, with the hash and codes that are stored of them. A search may return
 * none of these, and codes of a whole window would be too many; so they are read by id, as the search's user.
 */
record PageTexts(Client client) {

    /** What is read of a hit. */
    record Stored(Map<String, Object> values, String hash, ByteString codes) {}

    /**
     * Reads the hits of a page.
     *
     * @param asked the search that found them: the same indices, filters of aliases and point in time are read
     * @param most hits that a search of these indices may return
     * @param then receives what is stored by {@link #key}
     */
    void read(
        SearchRequest asked,
        List<SearchHit> hits,
        IndexSetup setup,
        int most,
        TimeValue deadline,
        ThreadContext context,
        ActionListener<Map<String, Stored>> then
    ) {
        ActionListener<SearchResponse> found = ActionListener.map(then, response -> byKey(response, setup));
        client.search(request(asked, hits, setup, most, deadline), new ContextPreservingActionListener<>(context.newRestorableContext(true), found));
    }

    /** What tells a hit from all others: an id alone may be in several indices, and under several routing values. */
    static String key(SearchHit hit) {
        DocumentField routing = hit.field(RoutingFieldMapper.NAME);
        return hit.getIndex() + "\n" + hit.getId() + "\n" + (routing == null ? "" : routing.<Object>getValue());
    }

    static SearchRequest request(SearchRequest asked, List<SearchHit> hits, IndexSetup setup, int most, TimeValue deadline) {
        Map<String, BoolQueryBuilder> indices = new LinkedHashMap<>();
        for (SearchHit hit : hits) {
            indices.computeIfAbsent(hit.getIndex(), index -> within(index, hits));
        }
        BoolQueryBuilder query = QueryBuilders.boolQuery();
        indices.values().forEach(query::should);
        // An id may be there once more, under another routing value.
        var source = new SearchSourceBuilder().query(query)
            .size(Math.min(2 * hits.size(), most))
            .fetchSource(setup.fields().toArray(String[]::new), null)
            .docValueField(IndexSetup.HASH)
            .docValueField(IndexSetup.OLD_HASH)
            .trackTotalHits(false)
            .timeout(deadline);
        if (setup.hasCodes()) {
            source.docValueField(IndexSetup.CODES);
        }
        var request = new SearchRequest().source(source).pipeline("_none");
        PointInTimeBuilder point = asked.pointInTimeBuilder();
        if (point != null) {
            // It holds the indices, and shows the same documents as the page.
            source.pointInTimeBuilder(new PointInTimeBuilder(point.getId()));
            return request;
        }
        return request.indices(asked.indices())
            .indicesOptions(asked.indicesOptions())
            .routing(asked.routing())
            .preference(asked.preference());
    }

    private static BoolQueryBuilder within(String index, List<SearchHit> hits) {
        Stream<SearchHit> own = hits.stream().filter(hit -> index.equals(hit.getIndex()));
        return QueryBuilders.boolQuery()
            .filter(QueryBuilders.idsQuery().addIds(own.map(SearchHit::getId).toArray(String[]::new)))
            .filter(QueryBuilders.termQuery("_index", index));
    }

    private static Map<String, Stored> byKey(SearchResponse response, IndexSetup setup) {
        Map<String, Stored> found = new HashMap<>();
        for (SearchHit hit : response.getHits()) {
            DocumentField hash = hit.field(IndexSetup.HASH) == null ? hit.field(IndexSetup.OLD_HASH) : hit.field(IndexSetup.HASH);
            Map<String, Object> source = hit.getSourceAsMap();
            found.put(
                key(hit),
                new Stored(
                    Texts.values(source == null ? Map.of() : source, setup),
                    hash == null ? "" : String.valueOf(hash.<Object>getValue()),
                    StoredParts.bytes(hit.field(IndexSetup.CODES))
                )
            );
        }
        return found;
    }
}
