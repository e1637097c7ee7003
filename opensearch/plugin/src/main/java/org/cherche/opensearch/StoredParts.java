package org.cherche.opensearch;

import com.google.protobuf.ByteString;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.document.DocumentField;
import org.opensearch.core.action.ActionListener;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.transport.client.Client;

/** The fields that an index stores with a document: hash, packed terms and token codes. */
record StoredParts(String hash, ByteString terms, ByteString codes) {

    private static final Logger LOG = LogManager.getLogger(StoredParts.class);

    /**
     * Reads the stored fields of documents that may be in the index already. A search sees only refreshed documents,
     * which is enough: the hash decides whether the fields belong to the same text, and a document without them is
     * encoded again.
     */
    record Reader(Client client) {

        /** @param then called once, with the stored fields by id, without documents that lack one of them */
        void read(String index, IndexSetup setup, List<String> ids, Consumer<Map<String, StoredParts>> then) {
            if (ids.isEmpty()) {
                then.accept(Map.of());
                return;
            }
            var source = new SearchSourceBuilder().query(QueryBuilders.idsQuery().addIds(ids.toArray(String[]::new)))
                .size(ids.size())
                .fetchSource(false)
                .trackTotalHits(false)
                .docValueField(IndexSetup.HASH)
                .docValueField(IndexSetup.OLD_HASH)
                .docValueField(IndexSetup.TERMS)
                .docValueField(IndexSetup.CODES);
            var request = new SearchRequest(index).source(source).pipeline("_none").preference("_primary");
            client.search(request, new ActionListener<>() {
                @Override
                public void onResponse(SearchResponse found) {
                    then.accept(parts(found, setup));
                }

                @Override
                public void onFailure(Exception error) {
                    LOG.debug("cannot read stored weights of [{}]: encoding again", index, error);
                    then.accept(Map.of());
                }
            });
        }

        private static Map<String, StoredParts> parts(SearchResponse found, IndexSetup setup) {
            Map<String, StoredParts> parts = new HashMap<>();
            for (SearchHit hit : found.getHits()) {
                DocumentField hash = hit.field(IndexSetup.HASH) == null ? hit.field(IndexSetup.OLD_HASH) : hit.field(IndexSetup.HASH);
                ByteString terms = bytes(hit.field(IndexSetup.TERMS));
                ByteString codes = bytes(hit.field(IndexSetup.CODES));
                if (hash != null && !terms.isEmpty() && setup.hasCodes() != codes.isEmpty()) {
                    parts.put(hit.getId(), new StoredParts(hash.getValue(), terms, codes));
                }
            }
            return parts;
        }
    }

    /** Bytes of a binary doc value; empty where there is none or where it is not base64. */
    static ByteString bytes(DocumentField field) {
        Object value = field == null ? null : field.getValue();
        try {
            return value instanceof String text ? ByteString.copyFrom(Base64.getDecoder().decode(text)) : ByteString.EMPTY;
        } catch (IllegalArgumentException e) {
            return ByteString.EMPTY;
        }
    }
}
