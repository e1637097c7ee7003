package org.cherche.opensearch;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.metadata.MappingMetadata;
import org.opensearch.common.cache.Cache;
import org.opensearch.common.cache.CacheBuilder;
import org.opensearch.common.xcontent.XContentFactory;
import org.opensearch.core.common.bytes.BytesReference;

/**
 * How an index was set up: the object under {@code _meta.cherche} of its mapping. The sidecar reads it whole; the
 * plugin itself needs little of it.
 *
 * @param json the object, as it travels to the sidecar
 * @param fields names of the encoded fields
 * @param window hits that are reranked unless a request says otherwise
 * @param weight share of MaxSim unless a request says otherwise
 * @param codec how token codes are packed
 * @param hasCodes whether documents have token codes
 */
record IndexSetup(ByteString json, List<String> fields, int window, double weight, String codec, boolean hasCodes) {

    static final String INT8 = "int8";
    static final String WEIGHTS = "cherche_weights";
    static final String TERMS = "cherche_terms";
    static final String CODES = "cherche_codes";
    static final String HASH = "cherche_hash";
    static final String STATE = "cherche_state";
    static final List<String> OWN_FIELDS = List.of(WEIGHTS, TERMS, CODES, HASH, STATE);

    private record Version(String uuid, long mapping) {}

    private static final Cache<Version, IndexSetup> READ = CacheBuilder.<Version, IndexSetup>builder().setMaximumWeight(1_000).build();
    private static final IndexSetup NONE = new IndexSetup(ByteString.EMPTY, List.of(), 0, 0, "", false);

    /**
     * Reads the setup of an index.
     *
     * @return null where the index was never set up
     * @throws IllegalStateException where {@code _meta.cherche} is something else
     */
    static IndexSetup of(IndexMetadata index) {
        try {
            var version = new Version(index.getIndexUUID(), index.getMappingVersion());
            IndexSetup setup = READ.computeIfAbsent(version, ignored -> read(index.mapping()));
            return setup == NONE ? null : setup;
        } catch (Exception e) {
            throw new IllegalStateException(
                "index [" + index.getIndex().getName() + "] has a _meta.cherche that cannot be read: run cherche setup again",
                e
            );
        }
    }

    /** Reads the object itself; an index without a mapping or without the object gives NONE. */
    static IndexSetup read(MappingMetadata mapping) {
        Object meta = mapping == null ? null : mapping.sourceAsMap().get("_meta");
        Object own = meta instanceof Map<?, ?> map ? map.get("cherche") : null;
        return own instanceof Map<?, ?> map ? parse(map) : NONE;
    }

    static IndexSetup parse(Map<?, ?> meta) {
        List<String> fields = new ArrayList<>();
        for (Object field : (List<?>) meta.get("fields")) {
            fields.add((String) ((Map<?, ?>) field).get("name"));
        }
        Map<?, ?> rerank = (Map<?, ?>) meta.get("rerank");
        int window = ((Number) rerank.get("window")).intValue();
        double weight = ((Number) rerank.get("weight")).doubleValue();
        Object codes = ((Map<?, ?>) meta.get("fingerprint")).get("codes");
        boolean hasCodes = codes instanceof String text && !text.isEmpty();
        return new IndexSetup(json(meta), List.copyOf(fields), window, weight, String.valueOf(meta.get("codec")), hasCodes);
    }

    /** Any JSON value as bytes. */
    static ByteString json(Object value) {
        try (var builder = XContentFactory.jsonBuilder()) {
            BytesReference bytes = BytesReference.bytes(builder.value(value));
            return ByteString.copyFrom(BytesReference.toBytes(bytes));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
