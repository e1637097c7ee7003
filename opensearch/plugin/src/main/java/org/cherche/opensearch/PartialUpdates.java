package org.cherche.opensearch;

import java.util.Map;
import org.opensearch.OpenSearchParseException;
import org.opensearch.action.ActionRequest;
import org.opensearch.action.DocWriteRequest;
import org.opensearch.action.bulk.BulkAction;
import org.opensearch.action.bulk.BulkRequest;
import org.opensearch.action.support.ActionFilter;
import org.opensearch.action.update.UpdateRequest;
import org.opensearch.core.action.ActionListener;

/**
 * Marks documents that a bulk updates in part as pending: what is encoded is of another text afterwards, or is lost.
 *
 * <p>Of such an update OpenSearch (3.8.0) passes nothing through a pipeline, but of {@code doc_as_upsert} the part alone,
 * which looks like a whole document there. An update by a script changes what nobody can see beforehand:
 * {@code cherche doctor} finds such documents by their hash.
 */
final class PartialUpdates extends ActionFilter.Simple {

    private final Node.Provider node;

    PartialUpdates(Node.Provider node) {
        this.node = node;
    }

    @Override
    public int order() {
        return 0;
    }

    @Override
    protected boolean apply(String action, ActionRequest request, ActionListener<?> listener) {
        if (action.equals(BulkAction.NAME) && request instanceof BulkRequest bulk) {
            for (DocWriteRequest<?> each : bulk.requests()) {
                if (each instanceof UpdateRequest update && update.doc() != null) {
                    mark(update);
                }
            }
        }
        return true;
    }

    private void mark(UpdateRequest update) {
        IndexSetup setup;
        Map<String, Object> source;
        try {
            setup = node.get().setupForWriting(update.index());
            source = update.doc().sourceAsMap();
        } catch (IllegalStateException | OpenSearchParseException e) {
            return; // a setup that cannot be read, where nothing is encoded; or no object, which fails as an item
        }
        if (setup == null) {
            return;
        }
        if (IndexSetup.OWN_FIELDS.containsAll(source.keySet())) {
            return; // a sidecar's backfill, which read the whole document
        }
        if (!setup.isLean() && setup.fields().stream().noneMatch(field -> touches(source, field))) {
            return; // weights and codes stay, and so does their text
        }
        if (update.docAsUpsert()) {
            IndexSetup.OWN_FIELDS.forEach(source::remove);
            source.put(IndexSetup.STATE, IndexSetup.PARTIAL);
        } else {
            pend(source, setup);
        }
        update.doc().source(source, update.doc().getContentType());
    }

    /** Whether a part of a document may change an encoded field: a key on its path, or one below it. */
    private static boolean touches(Map<String, Object> source, String field) {
        return source.keySet().stream().anyMatch(key -> key.equals(field) || field.startsWith(key + ".") || key.startsWith(field + "."));
    }

    /** Makes a part of a document one that waits; null takes the place of what would stay in {@code _source}. */
    static void pend(Map<String, Object> source, IndexSetup setup) {
        IndexSetup.OWN_FIELDS.forEach(source::remove);
        if (!setup.isLean()) {
            source.put(IndexSetup.WEIGHTS, null);
            source.put(IndexSetup.TERMS, null);
            source.put(IndexSetup.CODES, null);
        }
        source.put(IndexSetup.HASH, "");
        source.put(IndexSetup.STATE, IndexSetup.PENDING);
    }
}
