package org.cherche.opensearch;

import java.util.List;
import java.util.Map;
import org.opensearch.OpenSearchParseException;
import org.opensearch.action.ActionRequest;
import org.opensearch.action.DocWriteRequest;
import org.opensearch.action.bulk.BulkAction;
import org.opensearch.action.bulk.BulkRequest;
import org.opensearch.action.index.IndexRequest;
import org.opensearch.action.support.ActionFilter;
import org.opensearch.action.update.UpdateRequest;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.common.settings.Settings;
import org.opensearch.core.action.ActionListener;
import org.opensearch.index.IndexSettings;
import org.opensearch.ingest.IngestService;

/**
 * Marks documents that a bulk updates in part as pending: what is encoded is of another text afterwards, or is lost.
 *
 * <p>Of such an update OpenSearch (3.8.0) passes nothing through a pipeline, but of {@code doc_as_upsert} the part alone,
 * and of {@code scripted_upsert} what the script then changes: either looks like a whole document there. What a script
 * changes of a document that exists nobody can see beforehand: {@code cherche doctor} finds it by its hash.
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
                    mark(update.index(), update.doc(), update.docAsUpsert());
                } else if (each instanceof UpdateRequest update && update.scriptedUpsert() && update.upsertRequest() != null) {
                    mark(update.index(), update.upsertRequest(), true);
                }
            }
        }
        return true;
    }

    private void mark(String name, IndexRequest part, boolean mayInsert) {
        IndexMetadata index = node.get().writeIndex(name);
        IndexSetup setup = index == null ? null : IndexSetup.of(index);
        if (setup == null) {
            return;
        }
        Map<String, Object> source;
        try {
            source = part.sourceAsMap();
        } catch (OpenSearchParseException e) {
            return; // no object, which fails as an item
        }
        boolean isPiped = mayInsert && isPiped(part, index.getSettings());
        if (source.isEmpty() ? !isPiped : IndexSetup.OWN_FIELDS.containsAll(source.keySet())) {
            return; // changes nothing; or is of a sidecar's backfill, which read the whole document
        }
        boolean isClaimed = source.keySet().removeAll(IndexSetup.OWN_FIELDS); // a client sent them: they belong to no text
        if (takesWeights(source, setup)) {
            pend(source, setup);
        } else if (!isPiped && !isClaimed) {
            return;
        }
        if (isPiped) {
            setup.markPartial(source); // a pipeline may change an encoded field yet
        }
        part.source(source, part.getContentType());
    }

    /** Whether a document that may be inserted passes a pipeline, by the rules of OpenSearch's {@code IngestService}. */
    private static boolean isPiped(IndexRequest document, Settings index) {
        String first = document.getPipeline() == null ? IndexSettings.DEFAULT_PIPELINE.get(index) : document.getPipeline();
        return !IngestService.NOOP_PIPELINE_NAME.equals(first)
            || !IngestService.NOOP_PIPELINE_NAME.equals(IndexSettings.FINAL_PIPELINE.get(index));
    }

    /** What a pipeline makes of a part that was marked, with the fields that it gave it. */
    static void settle(Map<String, Object> part, IndexSetup setup) {
        part.remove(IndexSetup.STATE);
        part.remove(IndexSetup.OLD_STATE);
        if (takesWeights(part, setup)) {
            pend(part, setup);
        }
    }

    /** Whether an update with a part of a document leaves weights of another text, or none. */
    private static boolean takesWeights(Map<String, Object> part, IndexSetup setup) {
        return setup.isLean() || setup.fields().stream().anyMatch(field -> touches(part, field));
    }

    /** Whether a part of a document may change an encoded field: a key on its path, or one below it. */
    private static boolean touches(Map<String, Object> part, String field) {
        return part.keySet().stream().anyMatch(key -> key.equals(field) || field.startsWith(key + ".") || key.startsWith(field + "."));
    }

    /** Makes a part of a document one that waits; no value takes the place of what would stay in {@code _source}. */
    private static void pend(Map<String, Object> source, IndexSetup setup) {
        IndexSetup.OWN_FIELDS.forEach(source::remove);
        if (!setup.isLean()) {
            // An update merges objects, and rank_features refuses null (3.8.0): an empty list is neither.
            source.put(IndexSetup.WEIGHTS, List.of());
            source.put(IndexSetup.TERMS, List.of());
            source.put(IndexSetup.CODES, List.of());
        }
        setup.noteOver(source, null, IndexSetup.PENDING);
    }
}
