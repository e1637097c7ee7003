package org.cherche.opensearch;

import cherche.v1.Common.ItemResult;
import cherche.v1.Common.TermWeightsBatch;
import cherche.v1.Plugin.PipelineDocument;
import cherche.v1.Plugin.PrepareDocumentsRequest;
import cherche.v1.Plugin.PrepareDocumentsResponse;
import cherche.v1.Plugin.PreparedDocument;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.ingest.AbstractProcessor;
import org.opensearch.ingest.ConfigurationUtils;
import org.opensearch.ingest.IngestDocument;
import org.opensearch.ingest.IngestDocumentWrapper;
import org.opensearch.ingest.Processor;

/**
 * Ingest processor {@code cherche_encode}: stores term weights, packed terms, token codes and a hash with each document.
 *
 * <p>The setup of the index ({@code _meta.cherche}) decides what is encoded and how, so that documents written here
 * equal documents written by {@code cherche feed}. An error in one document does not affect the others.
 */
final class EncodeProcessor extends AbstractProcessor {

    static final String TYPE = "cherche_encode";

    /** How a document is handled while no sidecar is available. */
    enum OnUnavailable {
        /** Reject it. */
        FAIL,
        /** Store it without weights, marked as pending. */
        DEFER;

        static OnUnavailable read(String tag, Map<String, Object> config) {
            String name = ConfigurationUtils.readStringProperty(TYPE, tag, config, "on_unavailable", "fail");
            try {
                return valueOf(name.toUpperCase(Locale.ROOT));
            } catch (IllegalArgumentException e) {
                String reason = "must be fail or defer, not [" + name + "]";
                throw ConfigurationUtils.newConfigurationException(TYPE, tag, "on_unavailable", reason);
            }
        }
    }

    /** A document of the bulk request, and the callback for its failure. */
    private record Target(IngestDocument document, Consumer<Exception> onFailure) {

        Map<String, Object> source() {
            return document.getSourceAndMetadata();
        }
    }

    /** One document of a batch, and what the index stores for it. */
    private record Item(Target target, PipelineDocument document, StoredParts stored) {

        String id() {
            return document.getId();
        }

        Item with(StoredParts known) {
            return known == null
                ? this
                : new Item(target, document.toBuilder().setKnownHash(known.hash()).setKnownTerms(known.terms()).build(), known);
        }
    }

    private final Node node;
    private final Texts texts;
    private final OnUnavailable onUnavailable;
    private final boolean ignoreMissing;
    private final TimeValue deadline;

    EncodeProcessor(
        String tag,
        String description,
        Node node,
        Texts texts,
        OnUnavailable onUnavailable,
        boolean ignoreMissing,
        TimeValue deadline
    ) {
        super(tag, description);
        this.node = node;
        this.texts = texts;
        this.onUnavailable = onUnavailable;
        this.ignoreMissing = ignoreMissing;
        this.deadline = deadline;
    }

    @Override
    public String getType() {
        return TYPE;
    }

    @Override
    public IngestDocument execute(IngestDocument document) {
        throw new UnsupportedOperationException(TYPE + " never blocks: it is called asynchronously");
    }

    @Override
    public void execute(IngestDocument document, BiConsumer<IngestDocument, Exception> handler) {
        var failure = new AtomicReference<Exception>();
        encodeAll(List.of(new Target(document, failure::set)), () -> {
            Exception error = failure.get();
            handler.accept(error == null ? document : null, error);
        });
    }

    @Override
    public void batchExecute(List<IngestDocumentWrapper> wrappers, Consumer<List<IngestDocumentWrapper>> handler) {
        List<Target> targets = new ArrayList<>();
        for (IngestDocumentWrapper wrapper : wrappers) {
            IngestDocument document = wrapper.getIngestDocument();
            if (wrapper.getException() == null && document != null) {
                targets.add(new Target(document, error -> wrapper.update(document, error)));
            }
        }
        encodeAll(targets, () -> handler.accept(wrappers));
    }

    private void encodeAll(List<Target> targets, Runnable done) {
        Map<String, List<Target>> byIndex = new LinkedHashMap<>();
        targets.forEach(target -> byIndex.computeIfAbsent(index(target.source()), ignored -> new ArrayList<>()).add(target));
        if (byIndex.isEmpty()) {
            done.run();
            return;
        }
        Runnable oneDone = countdown(byIndex.size(), done);
        byIndex.forEach((index, group) -> encodeGroup(index, group, oneDone));
    }

    /** Runs {@code done} when it has been run {@code count} times. */
    private static Runnable countdown(int count, Runnable done) {
        var left = new AtomicInteger(count);
        return () -> {
            if (left.decrementAndGet() == 0) {
                done.run();
            }
        };
    }

    private void encodeGroup(String index, List<Target> group, Runnable done) {
        List<List<Item>> batches = List.of();
        IndexSetup setup = null;
        try {
            setup = node.setupForWriting(index);
            // An index that is not set up takes its documents as they are.
            batches = setup == null ? List.of() : cut(items(group, setup));
        } catch (RuntimeException e) {
            group.forEach(target -> fail(target, e));
        }
        if (batches.isEmpty()) {
            done.run();
            return;
        }
        Runnable oneDone = countdown(batches.size(), done);
        for (List<Item> batch : batches) {
            submit(index, batch, setup, oneDone);
        }
    }

    /** Reads what the index stores for the batch, then encodes it; waits while too many batches are in flight. */
    private void submit(String index, List<Item> batch, IndexSetup setup, Runnable done) {
        node.ingestLimit().submit(release -> {
            Runnable released = countdown(1, () -> {
                release.run();
                done.run();
            });
            List<String> ids = batch.stream().map(Item::id).filter(id -> !id.isEmpty()).toList();
            orFail(batch, released, () -> node.stored().read(index, setup, ids, known -> {
                List<Item> all = batch.stream().map(item -> item.with(known.get(item.id()))).toList();
                encode(all, setup, released);
            }));
        });
    }

    /** Starts an asynchronous step; fails the batch if the step cannot be started. */
    private void orFail(List<Item> batch, Runnable done, Runnable start) {
        try {
            start.run();
        } catch (RuntimeException e) {
            batch.forEach(item -> fail(item.target, e));
            done.run();
        }
    }

    private List<Item> items(List<Target> targets, IndexSetup setup) {
        List<Item> items = new ArrayList<>();
        for (Target target : targets) {
            try {
                texts.map(target.document, setup);
                Map<String, Object> source = target.source();
                if (IndexSetup.isPartial(source)) {
                    PartialUpdates.settle(source, setup); // the rest of its text is not here
                    continue;
                }
                Map<String, Object> found = Texts.of(source, setup);
                var document = PipelineDocument.newBuilder().setId(id(source)).setSourceJson(IndexSetup.json(found));
                items.add(new Item(target, document.build(), null));
            } catch (RuntimeException e) {
                fail(target, e);
            }
        }
        return items;
    }

    private List<List<Item>> cut(List<Item> items) {
        return Batches.cut(
            items,
            item -> item.document.getSourceJson().size(),
            node.settings().ingestBatchBytes(),
            node.settings().ingestDocuments()
        );
    }

    private void encode(List<Item> batch, IndexSetup setup, Runnable done) {
        var request = PrepareDocumentsRequest.newBuilder().setMetaJson(setup.json());
        batch.forEach(item -> request.addDocuments(item.document));
        long started = System.nanoTime();
        node.stats().one(Count.INGEST_CALLS);
        orFail(batch, done, () -> node.sidecar().call(
            stub -> stub.prepareDocuments(request.build()),
            deadline(),
            new ActionListener<PrepareDocumentsResponse>() {
                @Override
                public void onResponse(PrepareDocumentsResponse response) {
                    node.stats().addMillisSince(started, Count.INGEST_CALL_MILLIS);
                    try {
                        store(batch, response, setup);
                    } catch (RuntimeException e) {
                        batch.forEach(item -> fail(item.target, e));
                    }
                    done.run(); // outside the try block: an exception of the caller must not end this batch twice
                }

                @Override
                public void onFailure(Exception error) {
                    failed(batch, setup, error, done);
                }
            }
        ));
    }

    /** Repeats a call that failed because of its content in halves, until the document at fault is alone. */
    private void failed(List<Item> batch, IndexSetup setup, Exception error, Runnable done) {
        Status status = Status.fromThrowable(error);
        boolean isContentError = switch (status.getCode()) {
            case INVALID_ARGUMENT, INTERNAL, UNKNOWN, OUT_OF_RANGE -> true;
            default -> false;
        };
        if ((isContentError || Sidecar.isTooLarge(status)) && batch.size() > 1) {
            int middle = batch.size() / 2;
            encode(batch.subList(0, middle), setup, () -> encode(batch.subList(middle, batch.size()), setup, done));
            return;
        }
        batch.forEach(item -> refuse(item, setup, status));
        done.run();
    }

    private TimeValue deadline() {
        return deadline == null ? node.settings().ingestDeadline() : deadline;
    }

    private void store(List<Item> batch, PrepareDocumentsResponse response, IndexSetup setup) {
        if (response.getDocumentsCount() != batch.size()) {
            var status = Status.INTERNAL.withDescription(
                "the sidecar returned " + response.getDocumentsCount() + " of " + batch.size() + " documents"
            );
            batch.forEach(item -> refuse(item, setup, status));
            return;
        }
        for (int place = 0; place < batch.size(); place++) {
            Item item = batch.get(place);
            PreparedDocument prepared = response.getDocuments(place);
            ItemResult result = prepared.getItem();
            if (result.hasStatus()) {
                refuse(item, setup, Status.fromCodeValue(result.getStatus().getCode()).withDescription(result.getStatus().getMessage()));
            } else {
                write(item, prepared, features(response.getTermWeights(), place), setup);
            }
        }
    }

    private void write(Item item, PreparedDocument prepared, Map<String, Object> features, IndexSetup setup) {
        if (prepared.getTerms().isEmpty()) {
            writeWithoutText(item, prepared.getHash(), setup);
            return;
        }
        Map<String, Object> source = item.target.source();
        IndexSetup.OWN_FIELDS.forEach(source::remove); // of another text, or sent by a client
        source.put(IndexSetup.WEIGHTS, features);
        source.put(IndexSetup.TERMS, base64(prepared.getTerms()));
        ByteString codes = prepared.getReused() ? item.stored.codes() : prepared.getCodes();
        if (!codes.isEmpty()) {
            source.put(IndexSetup.CODES, base64(codes));
        }
        setup.note(source, prepared.getHash(), IndexSetup.OK);
        node.stats().one(prepared.getReused() ? Count.DOCUMENTS_REUSED : Count.DOCUMENTS_ENCODED);
        if (prepared.getItem().getTruncated()) {
            node.stats().one(Count.DOCUMENTS_TRUNCATED);
        }
    }

    private void writeWithoutText(Item item, String hash, IndexSetup setup) {
        if (!ignoreMissing) {
            fail(item.target, new IllegalArgumentException("document [" + item.id() + "] has no text in any encoded field"));
            return;
        }
        Map<String, Object> source = item.target.source();
        IndexSetup.OWN_FIELDS.forEach(source::remove); // a client sent them
        setup.note(source, hash, IndexSetup.NO_TEXT);
        node.stats().one(Count.DOCUMENTS_WITHOUT_TEXT);
    }

    /** Rejects a document, or defers it where it may be encoded later. */
    private void refuse(Item item, IndexSetup setup, Status status) {
        if (onUnavailable == OnUnavailable.DEFER && Sidecar.isTransient(status)) {
            Map<String, Object> source = item.target.source();
            IndexSetup.OWN_FIELDS.forEach(source::remove);
            setup.note(source, null, IndexSetup.PENDING);
            node.stats().one(Count.DOCUMENTS_DEFERRED);
            return;
        }
        String description = status.getDescription() == null ? "the sidecar gave no reason" : status.getDescription();
        String reason = TYPE + ": " + status.getCode() + ": " + description;
        fail(item.target, new OpenSearchStatusException(reason, Sidecar.restStatus(status)));
    }

    private void fail(Target target, Exception error) {
        node.stats().one(Count.DOCUMENTS_FAILED);
        target.onFailure.accept(error);
    }

    /** Weights by feature name of the document at a position of the batch. */
    static Map<String, Object> features(TermWeightsBatch batch, int place) {
        int end = batch.getOffsets(place + 1);
        Map<String, Object> features = new HashMap<>();
        for (int entry = batch.getOffsets(place); entry < end; entry++) {
            features.put(batch.getFeatures(batch.getFeatureIndex(entry)), batch.getWeights(entry));
        }
        return features;
    }

    private static String index(Map<String, Object> source) {
        return String.valueOf(source.get("_index"));
    }

    private static String id(Map<String, Object> source) {
        return source.get("_id") instanceof String id ? id : "";
    }

    private static String base64(ByteString bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    record Factory(Node.Provider node) implements Processor.Factory {

        @Override
        public EncodeProcessor create(
            Map<String, Processor.Factory> factories,
            String tag,
            String description,
            Map<String, Object> config
        ) {
            Texts texts = Texts.read(TYPE, tag, config);
            OnUnavailable onUnavailable = OnUnavailable.read(tag, config);
            boolean ignoreMissing = ConfigurationUtils.readBooleanProperty(TYPE, tag, config, "ignore_missing", true);
            TimeValue deadline = ChercheSettings.deadline(TYPE, tag, config);
            return new EncodeProcessor(tag, description, node.get(), texts, onUnavailable, ignoreMissing, deadline);
        }
    }
}
