package org.cherche.opensearch;

import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ExecutionException;
import java.util.stream.Collectors;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.metadata.MappingMetadata;
import org.opensearch.common.cache.Cache;
import org.opensearch.common.cache.CacheBuilder;
import org.opensearch.common.regex.Regex;
import org.opensearch.common.xcontent.XContentFactory;
import org.opensearch.core.common.bytes.BytesReference;

/**
 * The setup of an index: the object under {@code _meta.cherche} of its mapping. The sidecar receives all of it; the
 * plugin reads a few values.
 *
 * @param json the object, as it is sent to the sidecar
 * @param fields names of the encoded fields
 * @param window default number of reranked hits
 * @param weight default weight of MaxSim in the fused score
 * @param codec form of the token codes, for example {@code pool2+int8}
 * @param hasCodes whether documents have token codes
 * @param isLean whether weights and codes stay out of {@code _source}, so that every partial update loses them
 * @param mapped those of our fields that the mapping has
 * @param firstTerms default number of terms that find candidates; 0 where all terms find hits
 */
record IndexSetup(
    ByteString json,
    List<String> fields,
    int window,
    double weight,
    String codec,
    boolean hasCodes,
    boolean isLean,
    Set<String> mapped,
    int firstTerms
) {

    static final String WEIGHTS = "cherche_weights";
    static final String TERMS = "cherche_terms";
    static final String CODES = "cherche_codes";
    static final String HASH = "cherche_digest";
    static final String STATE = "cherche_status";
    /** Keywords of earlier releases, which searches for words match. */
    static final String OLD_HASH = "cherche_hash";
    static final String OLD_STATE = "cherche_state";
    /** States: encoded as a whole; without text; to be encoded by a backfill; part of a document, only on its way in. */
    static final String OK = "ok";
    static final String NO_TEXT = "no_text";
    static final String PENDING = "pending";
    static final String PARTIAL = "partial";
    static final List<String> OWN_FIELDS = List.of(WEIGHTS, TERMS, CODES, HASH, STATE, OLD_HASH, OLD_STATE);

    private record Version(String uuid, long mapping) {}

    private static final Cache<Version, IndexSetup> CACHE = CacheBuilder.<Version, IndexSetup>builder().setMaximumWeight(1_000).build();
    private static final IndexSetup NONE = new IndexSetup(ByteString.EMPTY, List.of(), 0, 0, "", false, false, Set.of(), 0);
    private static final IndexSetup UNREADABLE = new IndexSetup(ByteString.EMPTY, List.of(), 0, 0, "", false, false, Set.of(), 0);
    private static final Logger LOG = LogManager.getLogger(IndexSetup.class);

    /** The setup of an index; null where it is not set up, or its {@code _meta.cherche} cannot be read. */
    static IndexSetup of(IndexMetadata index) {
        IndexSetup setup = cached(index);
        return setup == NONE || setup == UNREADABLE ? null : setup;
    }

    /** Why {@code _meta.cherche} of an index cannot be read, and the next step; empty where it can, or there is none. */
    static String problem(IndexMetadata index) {
        return cached(index) == UNREADABLE ? unreadable(index) : "";
    }

    private static String unreadable(IndexMetadata index) {
        String name = index.getIndex().getName();
        return "index [" + name + "] has a _meta.cherche that this plugin cannot read: run cherche remove " + name
            + ", then cherche setup " + name;
    }

    /** Each version of a mapping is read, and reported where that fails, once. */
    private static IndexSetup cached(IndexMetadata index) {
        try {
            return CACHE.computeIfAbsent(new Version(index.getIndexUUID(), index.getMappingVersion()), ignored -> {
                try {
                    return read(index.mapping());
                } catch (RuntimeException e) {
                    LOG.warn("{}; until then its documents and searches are left as they are", unreadable(index), e);
                    return UNREADABLE;
                }
            });
        } catch (ExecutionException e) {
            throw new IllegalStateException("cannot read the mapping of index [" + index.getIndex().getName() + "]", e);
        }
    }

    /** Reads a mapping; NONE where it has no {@code _meta.cherche}. */
    static IndexSetup read(MappingMetadata mapping) {
        Map<String, Object> root = mapping == null ? Map.of() : mapping.sourceAsMap();
        Object own = root.get("_meta") instanceof Map<?, ?> map ? map.get("cherche") : null;
        return own instanceof Map<?, ?> map ? parse(map, isLean(root.get("_source")), mapped(root)) : NONE;
    }

    private static Set<String> mapped(Map<String, Object> root) {
        Set<?> properties = root.get("properties") instanceof Map<?, ?> map ? map.keySet() : Set.of();
        return OWN_FIELDS.stream().filter(properties::contains).collect(Collectors.toUnmodifiableSet());
    }

    private static boolean isLean(Object source) {
        Object excludes = source instanceof Map<?, ?> map ? map.get("excludes") : null;
        return excludes instanceof List<?> patterns
            && patterns.stream().anyMatch(pattern -> Regex.simpleMatch(String.valueOf(pattern), TERMS));
    }

    static IndexSetup parse(Map<?, ?> meta) {
        return parse(meta, false, Set.of(HASH, STATE));
    }

    private static IndexSetup parse(Map<?, ?> meta, boolean isLean, Set<String> mapped) {
        List<String> fields = new ArrayList<>();
        for (Object field : (List<?>) meta.get("fields")) {
            fields.add((String) ((Map<?, ?>) field).get("name"));
        }
        Map<?, ?> rerank = (Map<?, ?>) meta.get("rerank");
        int window = ((Number) rerank.get("window")).intValue();
        double weight = ((Number) rerank.get("weight")).doubleValue();
        Object codes = ((Map<?, ?>) meta.get("fingerprint")).get("codes");
        boolean hasCodes = codes instanceof String text && !text.isEmpty();
        return new IndexSetup(
            json(meta),
            List.copyOf(fields),
            window,
            weight,
            String.valueOf(meta.get("codec")),
            hasCodes,
            isLean,
            mapped,
            meta.get("first_terms") instanceof Number terms ? terms.intValue() : 0
        );
    }

    /**
     * Writes hash and state into a document that has neither. An index that an earlier release set up has only keywords
     * for them until {@code cherche setup} or a backfill maps the fields that no search for words matches.
     *
     * @param hash null where there is none
     */
    void note(Map<String, Object> source, String hash, String state) {
        if (mapped.contains(STATE)) {
            source.put(HASH, hash);
            // In a list, which an update replaces: in an object the feature of the state before would stay.
            source.put(STATE, List.of(Map.of(state, 1)));
        } else {
            source.put(OLD_HASH, hash == null ? "" : hash);
            source.put(OLD_STATE, state);
        }
    }

    /** Writes hash and state over those that a document may have in any form. */
    void noteOver(Map<String, Object> source, String hash, String state) {
        if (mapped.contains(OLD_STATE)) {
            source.put(OLD_HASH, null);
            source.put(OLD_STATE, null);
        }
        note(source, hash, state);
    }

    /** Marks a part of a document on its way into a pipeline; where none of ours reads the mark, it waits. */
    void markPartial(Map<String, Object> part) {
        if (mapped.contains(STATE)) {
            part.put(STATE, List.of(Map.of(PENDING, 1), Map.of(PARTIAL, 1)));
        } else {
            part.put(OLD_STATE, PARTIAL);
        }
    }

    static boolean isPartial(Map<String, Object> source) {
        return PARTIAL.equals(source.get(OLD_STATE)) || source.get(STATE) instanceof List<?> marks && marks.contains(Map.of(PARTIAL, 1));
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
