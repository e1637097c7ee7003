package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

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
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.stream.IntStream;
import org.cherche.opensearch.EncodeProcessor.OnUnavailable;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.opensearch.OpenSearchParseException;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.settings.Settings;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.ingest.IngestDocument;
import org.opensearch.ingest.IngestDocumentWrapper;
import org.opensearch.search.SearchHit;

/** The processor over a real channel to a scripted sidecar: each document is passed on exactly once. */
class EncodeProcessorTests {

    private final Map<String, StoredParts> stored = new HashMap<>();
    private TestNode test;

    @BeforeEach
    void start() {
        test = new TestNode(
            Settings.builder().put("plugins.cherche.ingest.batch_documents", 4).put("plugins.cherche.ingest.concurrency", 2).build()
        );
        test.prepareDocuments = EncodeProcessorTests::encoded;
        test.search = request -> TestNode.response(
            stored.entrySet()
                .stream()
                .filter(one -> request.source().query().toString().contains("\"" + one.getKey() + "\""))
                .map(one -> hit(one.getKey(), one.getValue()))
                .toArray(SearchHit[]::new)
        );
    }

    @AfterEach
    void close() {
        test.close();
    }

    private static SearchHit hit(String id, StoredParts parts) {
        Map<String, DocumentField> fields = new HashMap<>();
        fields.put(IndexSetup.HASH, new DocumentField(IndexSetup.HASH, List.of(parts.hash())));
        fields.put(IndexSetup.TERMS, new DocumentField(IndexSetup.TERMS, List.of(base64(parts.terms()))));
        fields.put(IndexSetup.CODES, new DocumentField(IndexSetup.CODES, List.of(base64(parts.codes()))));
        return new SearchHit(0, id, fields, Map.of());
    }

    private static String base64(ByteString bytes) {
        return Base64.getEncoder().encodeToString(bytes.toByteArray());
    }

    /** Weights for every document but those with the word {@code poison}; the word {@code fatal} fails the whole call. */
    private static PrepareDocumentsResponse encoded(PrepareDocumentsRequest request) {
        var response = PrepareDocumentsResponse.newBuilder();
        var weights = TermWeightsBatch.newBuilder().addFeatures("f").addOffsets(0);
        int entries = 0;
        for (PipelineDocument document : request.getDocumentsList()) {
            String source = document.getSourceJson().toStringUtf8();
            if (source.contains("fatal")) {
                throw Status.INTERNAL.withDescription("the call failed").asRuntimeException();
            }
            var item = ItemResult.newBuilder().setId(document.getId());
            if (source.contains("poison")) {
                item.setStatus(com.google.rpc.Status.newBuilder().setCode(Status.Code.INVALID_ARGUMENT.value()).setMessage("is poison"));
            } else {
                weights.addFeatureIndex(0).addWeights(1);
                entries++;
            }
            weights.addOffsets(entries);
            boolean reused = document.getKnownHash().equals("hash");
            var prepared = PreparedDocument.newBuilder().setItem(item).setHash("hash").setTerms(ByteString.copyFromUtf8("terms"));
            response.addDocuments(prepared.setReused(reused).setCodes(reused ? ByteString.EMPTY : ByteString.copyFromUtf8("codes")));
        }
        return response.setTermWeights(weights).build();
    }

    private static List<IngestDocumentWrapper> wrappers(String... texts) {
        List<IngestDocumentWrapper> wrappers = new ArrayList<>();
        for (int slot = 0; slot < texts.length; slot++) {
            Map<String, Object> source = new HashMap<>(Map.of("text", texts[slot]));
            wrappers.add(new IngestDocumentWrapper(slot, slot, new IngestDocument("books", "d" + slot, null, null, null, source), null));
        }
        return wrappers;
    }

    private static String[] texts(int count) {
        return IntStream.range(0, count).mapToObj(n -> "text " + n).toArray(String[]::new);
    }

    private EncodeProcessor processor(OnUnavailable onUnavailable) {
        return new EncodeProcessor("t", "", test.node, Texts.read("t", "t", new HashMap<>()), onUnavailable, false, null);
    }

    /** Runs a batch and waits until its handler was called; {@code then} receives how often that was. */
    private void run(EncodeProcessor processor, List<IngestDocumentWrapper> wrappers, Consumer<Integer> then) throws Exception {
        var count = new AtomicInteger();
        var passedOn = new CompletableFuture<List<IngestDocumentWrapper>>();
        processor.batchExecute(wrappers, all -> {
            count.incrementAndGet();
            passedOn.complete(all);
        });
        assertEquals(wrappers, passedOn.get(30, TimeUnit.SECONDS));
        then.accept(count.get());
    }

    private void run(EncodeProcessor processor, List<IngestDocumentWrapper> wrappers) throws Exception {
        run(processor, wrappers, count -> assertEquals(1, count));
    }

    private static Object field(IngestDocumentWrapper wrapper, String name) {
        return wrapper.getIngestDocument().getSourceAndMetadata().get(name);
    }

    private static Object state(String name) {
        return List.of(Map.of(name, 1));
    }

    private static RestStatus status(IngestDocumentWrapper wrapper) {
        return assertInstanceOf(OpenSearchStatusException.class, wrapper.getException()).status();
    }

    @Test
    void everyDocumentIsPassedOnOnceWithItsWeights() throws Exception {
        var wrappers = wrappers(texts(11));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals(3, test.calls.size());
        for (var wrapper : wrappers) {
            assertNull(wrapper.getException());
            assertEquals(Map.of("f", 1f), field(wrapper, IndexSetup.WEIGHTS));
            assertEquals(state("ok"), field(wrapper, IndexSetup.STATE));
            assertEquals("codes", new String(Base64.getDecoder().decode((String) field(wrapper, IndexSetup.CODES))));
        }
    }

    @Test
    void aHandlerThatThrowsIsNotCalledAgain() throws Exception {
        var count = new AtomicInteger();
        var called = new CountDownLatch(1);
        processor(OnUnavailable.FAIL).batchExecute(wrappers("a"), all -> {
            count.incrementAndGet();
            called.countDown();
            throw new IllegalStateException("the rest of the pipeline");
        });
        assertTrue(called.await(30, TimeUnit.SECONDS));
        run(processor(OnUnavailable.FAIL), wrappers(texts(9))); // the handler does not take up a slot for good
        assertEquals(1, count.get());
    }

    @Test
    void theCallersThreadIsNotBlocked() throws Exception {
        var release = new CountDownLatch(1);
        test.prepareDocuments = request -> {
            await(release);
            return encoded(request);
        };
        var passedOn = new CompletableFuture<Thread>();
        processor(OnUnavailable.FAIL).batchExecute(wrappers(texts(9)), all -> passedOn.complete(Thread.currentThread()));
        assertFalse(passedOn.isDone()); // batchExecute returned before the sidecar responded
        release.countDown();
        assertTrue(passedOn.get(30, TimeUnit.SECONDS).getName().contains("[" + Sidecar.POOL + "]"));
    }

    private static void await(CountDownLatch latch) {
        try {
            assertTrue(latch.await(30, TimeUnit.SECONDS));
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void onePoisonDocumentFailsAlone() throws Exception {
        var wrappers = wrappers("a", "b poison", "c", "d", "e");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertEquals(RestStatus.BAD_REQUEST, status(wrappers.get(1)));
        assertEquals(4, wrappers.stream().filter(one -> one.getException() == null).count());
    }

    @Test
    void aCallThatFailsIsHalvedUntilTheDocumentAtFaultIsAlone() throws Exception {
        var wrappers = wrappers("a", "b", "c fatal", "d");
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals(RestStatus.INTERNAL_SERVER_ERROR, status(wrappers.get(2)));
        assertEquals(3, wrappers.stream().filter(one -> state("ok").equals(field(one, IndexSetup.STATE))).count());
    }

    @Test
    void aResponseThatDoesNotFitFailsItsBatch() throws Exception {
        test.prepareDocuments = request -> PrepareDocumentsResponse.getDefaultInstance();
        var wrappers = wrappers("a", "b");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertEquals(RestStatus.INTERNAL_SERVER_ERROR, status(wrappers.get(0)));
        test.prepareDocuments = request -> encoded(request).toBuilder().clearTermWeights().build();
        wrappers = wrappers("a", "b");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertTrue(wrappers.stream().allMatch(one -> one.getException() != null));
    }

    @Test
    void withoutASidecarDocumentsFailOrAreDeferred() throws Exception {
        test.stopSidecar();
        var rejected = wrappers(texts(6));
        run(processor(OnUnavailable.FAIL), rejected);
        rejected.forEach(one -> assertEquals(RestStatus.SERVICE_UNAVAILABLE, status(one)));
        assertEquals(2, test.count(Count.INGEST_CALLS), "an outage is not repeated in halves");
        var deferred = wrappers(texts(6));
        deferred.forEach(one -> one.getIngestDocument().setFieldValue(IndexSetup.HASH, "of another text"));
        run(processor(OnUnavailable.DEFER), deferred);
        for (var wrapper : deferred) {
            assertNull(wrapper.getException());
            assertEquals(state("pending"), field(wrapper, IndexSetup.STATE));
            assertNull(field(wrapper, IndexSetup.HASH));
            assertNull(field(wrapper, IndexSetup.WEIGHTS));
        }
        assertEquals(6, test.count(Count.DOCUMENTS_DEFERRED));
    }

    @Test
    void storedFieldsOfTheSameTextAreKept() throws Exception {
        stored.put("d1", new StoredParts("hash", ByteString.copyFromUtf8("terms"), ByteString.copyFromUtf8("known codes")));
        stored.put("d2", new StoredParts("of another text", ByteString.copyFromUtf8("old"), ByteString.copyFromUtf8("old")));
        var wrappers = wrappers(texts(3));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals("known codes", new String(Base64.getDecoder().decode((String) field(wrappers.get(1), IndexSetup.CODES))));
        assertEquals("codes", new String(Base64.getDecoder().decode((String) field(wrappers.get(2), IndexSetup.CODES))));
        assertEquals(1, test.count(Count.DOCUMENTS_REUSED));
        assertEquals(1, test.searches.size());
    }

    @Test
    void withoutStoredFieldsDocumentsAreEncodedAgain() throws Exception {
        test.search = request -> {
            throw new IllegalStateException("no shard");
        };
        var wrappers = wrappers(texts(2));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertTrue(wrappers.stream().allMatch(one -> state("ok").equals(field(one, IndexSetup.STATE))));
    }

    @Test
    void anIndexThatWasNotSetUpTakesItsDocumentsAsTheyAre() throws Exception {
        for (String index : new String[] { "plain", "broken" }) {
            var wrappers = wrappers("a", "b");
            wrappers.get(0).getIngestDocument().getSourceAndMetadata().put("_index", index);
            run(processor(OnUnavailable.DEFER), wrappers);
            assertNull(wrappers.get(0).getException());
            assertFalse(wrappers.get(0).getIngestDocument().hasField(IndexSetup.STATE));
            assertEquals(state("ok"), field(wrappers.get(1), IndexSetup.STATE));
        }
    }

    @Test
    void aBulkWithNothingToEncodeIsPassedOnAtOnce() throws Exception {
        var failed = new IngestDocumentWrapper(0, 0, null, new IllegalStateException("an earlier processor"));
        run(processor(OnUnavailable.FAIL), List.of(failed));
        assertEquals("an earlier processor", failed.getException().getMessage());
        assertEquals(0, test.calls.size());
    }

    @Test
    void withoutTextADocumentIsStoredAsThatOrRejected() throws Exception {
        test.prepareDocuments = request -> PrepareDocumentsResponse.newBuilder()
            .addDocuments(PreparedDocument.newBuilder().setItem(ItemResult.newBuilder().setId("d")).setHash("of nothing"))
            .setTermWeights(TermWeightsBatch.newBuilder().addOffsets(0).addOffsets(0))
            .build();
        var wrapper = new IngestDocumentWrapper(
            0,
            0,
            new IngestDocument("books", "d", null, null, null, new HashMap<>(Map.of("n", 1, IndexSetup.HASH, "sent by a client"))),
            null
        );
        Texts texts = Texts.read("t", "t", new HashMap<>());
        run(new EncodeProcessor("t", "", test.node, texts, OnUnavailable.FAIL, true, null), List.of(wrapper));
        assertNull(wrapper.getException());
        assertEquals("of nothing", field(wrapper, IndexSetup.HASH));
        assertEquals(state("no_text"), field(wrapper, IndexSetup.STATE));
        assertNull(field(wrapper, IndexSetup.TERMS));
        assertEquals(1, test.count(Count.DOCUMENTS_WITHOUT_TEXT));
        run(processor(OnUnavailable.FAIL), List.of(wrapper));
        assertEquals("document [d] has no text in any encoded field", wrapper.getException().getMessage());
    }

    @Test
    void aPartOfADocumentWaitsForTheWhole() throws Exception {
        var wrappers = wrappers("a new text");
        wrappers.get(0).getIngestDocument().setFieldValue(IndexSetup.STATE, state(IndexSetup.PARTIAL));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals(0, test.calls.size());
        assertEquals(state("pending"), field(wrappers.get(0), IndexSetup.STATE));
        assertNull(field(wrappers.get(0), IndexSetup.HASH));
    }

    @Test
    void readsTheColumnsOfOneText() {
        var batch = TermWeightsBatch.newBuilder()
            .addAllOffsets(List.of(0, 2, 2, 3))
            .addAllFeatures(List.of("a", "b%2E"))
            .addAllFeatureIndex(List.of(1, 0, 0))
            .addAllWeights(List.of(0.5f, 2f, 1f))
            .build();
        assertEquals(Map.of("a", 2f, "b%2E", 0.5f), EncodeProcessor.features(batch, 0));
        assertEquals(Map.of(), EncodeProcessor.features(batch, 1));
        assertEquals(Map.of("a", 1f), EncodeProcessor.features(batch, 2));
    }

    @Test
    void bulkClientsRetryTheRightStatuses() {
        assertEquals(RestStatus.TOO_MANY_REQUESTS, Sidecar.restStatus(Status.RESOURCE_EXHAUSTED));
        assertEquals(RestStatus.SERVICE_UNAVAILABLE, Sidecar.restStatus(Status.UNAVAILABLE));
        assertEquals(RestStatus.GATEWAY_TIMEOUT, Sidecar.restStatus(Status.DEADLINE_EXCEEDED));
        assertEquals(RestStatus.BAD_REQUEST, Sidecar.restStatus(Status.INVALID_ARGUMENT));
    }

    @Test
    void readsItsOptions() {
        assertEquals(OnUnavailable.FAIL, OnUnavailable.read("t", new HashMap<>()));
        assertEquals(OnUnavailable.DEFER, OnUnavailable.read("t", new HashMap<>(Map.of("on_unavailable", "defer"))));
        Map<String, Object> wrong = new HashMap<>(Map.of("on_unavailable", "hope"));
        var error = assertThrows(OpenSearchParseException.class, () -> OnUnavailable.read("t", wrong));
        assertTrue(error.getMessage().contains("must be fail or defer, not [hope]"), error.getMessage());
    }
}
