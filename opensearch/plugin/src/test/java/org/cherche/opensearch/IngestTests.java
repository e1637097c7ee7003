package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Common.ItemResult;
import cherche.v1.Common.TermWeightsBatch;
import cherche.v1.Plugin.PipelineDocument;
import cherche.v1.Plugin.PrepareDocumentsRequest;
import cherche.v1.Plugin.PrepareDocumentsResponse;
import cherche.v1.Plugin.PreparedDocument;
import cherche.v1.PluginServiceGrpc;
import com.google.protobuf.ByteString;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.okhttp.OkHttpServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.IntStream;
import org.cherche.opensearch.EncodeProcessor.OnUnavailable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.Version;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.ShardSearchFailure;
import org.opensearch.cluster.ClusterName;
import org.opensearch.cluster.ClusterState;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.metadata.Metadata;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.ingest.IngestDocument;
import org.opensearch.ingest.IngestDocumentWrapper;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.internal.InternalSearchResponse;
import org.opensearch.threadpool.ScalingExecutorBuilder;
import org.opensearch.threadpool.ThreadPool;
import org.opensearch.transport.client.Client;

/** The processor over a real channel to a scripted sidecar: whatever that does, each document is handed on once. */
class IngestTests {

    private static final String META = """
        {"_meta": {"cherche": {"fields": [{"name": "text"}], "codec": "int8", "rerank": {"weight": 0.5, "window": 10},
         "fingerprint": {"sparse": "s", "codes": "c"}}}}""";

    private final ThreadPool pool = new ThreadPool(
        Settings.builder().put("node.name", "test").build(),
        new ScalingExecutorBuilder(Sidecar.POOL, 1, 4, TimeValue.timeValueSeconds(10))
    );
    private final List<PrepareDocumentsRequest> calls = new CopyOnWriteArrayList<>();
    private final Map<String, StoredParts> stored = new HashMap<>();
    private final AtomicInteger reads = new AtomicInteger();
    private volatile Function<PrepareDocumentsRequest, PrepareDocumentsResponse> answer = IngestTests::encoded;
    private volatile boolean readingFails;
    private Server server;
    private Sidecar sidecar;
    private Node node;

    @BeforeEach
    void start() throws IOException {
        var health = new HealthStatusManager();
        health.setStatus(PluginServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
        var address = new InetSocketAddress(InetAddress.getLoopbackAddress(), 0);
        server = OkHttpServerBuilder.forPort(address, InsecureServerCredentials.create())
            .addService(health.getHealthService())
            .addService(new Scripted())
            .build()
            .start();
        var endpoint = new Sidecar.Address(List.of("127.0.0.1:" + server.getPort()), false, null, "");
        sidecar = new Sidecar(endpoint, new Breaker(100, 1, System::nanoTime), pool);
        Set<Setting<?>> known = new HashSet<>(ClusterSettings.BUILT_IN_CLUSTER_SETTINGS);
        known.addAll(ChercheSettings.ALL);
        Settings values = Settings.builder().put("plugins.cherche.ingest.batch_documents", 4).put("plugins.cherche.ingest.concurrency", 2).build();
        var cluster = new ClusterSettings(values, known);
        var service = new ClusterService(values, cluster, pool);
        service.getClusterApplierService().setInitialState(state());
        node = new Node(client(), service, null, null, NamedXContentRegistry.EMPTY, new ChercheSettings(values, cluster), 10, sidecar, null);
    }

    @AfterEach
    void close() {
        sidecar.close();
        server.shutdownNow();
        assertTrue(ThreadPool.terminate(pool, 10, TimeUnit.SECONDS));
    }

    private final class Scripted extends PluginServiceGrpc.PluginServiceImplBase {
        @Override
        public void prepareDocuments(PrepareDocumentsRequest request, StreamObserver<PrepareDocumentsResponse> observer) {
            calls.add(request);
            try {
                observer.onNext(answer.apply(request));
                observer.onCompleted();
            } catch (RuntimeException e) {
                observer.onError(e);
            }
        }
    }

    private static ClusterState state() throws IOException {
        Settings settings = Settings.builder()
            .put(IndexMetadata.SETTING_VERSION_CREATED, Version.CURRENT)
            .put(IndexMetadata.SETTING_NUMBER_OF_SHARDS, 1)
            .put(IndexMetadata.SETTING_NUMBER_OF_REPLICAS, 0)
            .build();
        var metadata = Metadata.builder().put(IndexMetadata.builder("books").settings(settings).putMapping(META).build(), false);
        return ClusterState.builder(ClusterName.DEFAULT).metadata(metadata).build();
    }

    /** A client that finds what {@link #stored} holds. */
    private Client client() {
        return (Client) Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] { Client.class }, (self, method, arguments) -> {
            if (!method.getName().equals("search")) {
                throw new UnsupportedOperationException(method.getName());
            }
            reads.incrementAndGet();
            @SuppressWarnings("unchecked")
            var listener = (ActionListener<SearchResponse>) arguments[1];
            pool.generic().execute(() -> {
                if (readingFails) {
                    listener.onFailure(new IllegalStateException("no shard"));
                } else {
                    listener.onResponse(found((SearchRequest) arguments[0]));
                }
            });
            return null;
        });
    }

    private SearchResponse found(SearchRequest request) {
        SearchHit[] hits = stored.entrySet()
            .stream()
            .filter(one -> request.source().query().toString().contains("\"" + one.getKey() + "\""))
            .map(one -> hit(one.getKey(), one.getValue()))
            .toArray(SearchHit[]::new);
        var internal = new InternalSearchResponse(new SearchHits(hits, null, 0), null, null, null, false, null, 1);
        return new SearchResponse(internal, null, 1, 1, 0, 5, ShardSearchFailure.EMPTY_ARRAY, SearchResponse.Clusters.EMPTY);
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

    /** Weights for every document but those that are poison; a batch with the word {@code fatal} breaks as a whole. */
    private static PrepareDocumentsResponse encoded(PrepareDocumentsRequest request) {
        var response = PrepareDocumentsResponse.newBuilder();
        var weights = TermWeightsBatch.newBuilder().addFeatures("f").addOffsets(0);
        int entries = 0;
        for (PipelineDocument document : request.getDocumentsList()) {
            String source = document.getSourceJson().toStringUtf8();
            if (source.contains("fatal")) {
                throw Status.INTERNAL.withDescription("the batch broke").asRuntimeException();
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
        return new EncodeProcessor("t", "", node, Texts.read("t", "t", new HashMap<>()), onUnavailable, false, null);
    }

    /** Runs a batch and waits until its handler was called; what it was given, and how often. */
    private void run(EncodeProcessor processor, List<IngestDocumentWrapper> wrappers, Consumer<Integer> then) throws Exception {
        var count = new AtomicInteger();
        var handed = new CompletableFuture<List<IngestDocumentWrapper>>();
        processor.batchExecute(wrappers, all -> {
            count.incrementAndGet();
            handed.complete(all);
        });
        assertEquals(wrappers, handed.get(30, TimeUnit.SECONDS));
        then.accept(count.get());
    }

    private void run(EncodeProcessor processor, List<IngestDocumentWrapper> wrappers) throws Exception {
        run(processor, wrappers, count -> assertEquals(1, count));
    }

    private static Object field(IngestDocumentWrapper wrapper, String name) {
        return wrapper.getIngestDocument().getSourceAndMetadata().get(name);
    }

    private static RestStatus status(IngestDocumentWrapper wrapper) {
        return assertInstanceOf(OpenSearchStatusException.class, wrapper.getException()).status();
    }

    @Test
    void everyDocumentIsHandedOnOnceWithItsWeights() throws Exception {
        var wrappers = wrappers(texts(11));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals(3, calls.size());
        for (var wrapper : wrappers) {
            assertNull(wrapper.getException());
            assertEquals(Map.of("f", 1f), field(wrapper, IndexSetup.WEIGHTS));
            assertEquals("ok", field(wrapper, IndexSetup.STATE));
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
        run(processor(OnUnavailable.FAIL), wrappers(texts(9))); // the lane it held is free again
        assertEquals(1, count.get());
    }

    @Test
    void theCallersThreadIsNotHeldUp() throws Exception {
        var release = new CountDownLatch(1);
        answer = request -> {
            await(release);
            return encoded(request);
        };
        var handed = new CompletableFuture<Thread>();
        processor(OnUnavailable.FAIL).batchExecute(wrappers(texts(9)), all -> handed.complete(Thread.currentThread()));
        assertFalse(handed.isDone()); // it returned although no sidecar has answered
        release.countDown();
        assertTrue(handed.get(30, TimeUnit.SECONDS).getName().contains("[" + Sidecar.POOL + "]"));
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
    void aBatchThatBreaksIsHalvedUntilWhatBreaksItStandsAlone() throws Exception {
        var wrappers = wrappers("a", "b", "c fatal", "d");
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals(RestStatus.INTERNAL_SERVER_ERROR, status(wrappers.get(2)));
        assertEquals(3, wrappers.stream().filter(one -> "ok".equals(field(one, IndexSetup.STATE))).count());
    }

    @Test
    void anAnswerThatDoesNotFitFailsItsBatch() throws Exception {
        answer = request -> PrepareDocumentsResponse.getDefaultInstance();
        var wrappers = wrappers("a", "b");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertEquals(RestStatus.INTERNAL_SERVER_ERROR, status(wrappers.get(0)));
        answer = request -> encoded(request).toBuilder().clearTermWeights().build();
        wrappers = wrappers("a", "b");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertTrue(wrappers.stream().allMatch(one -> one.getException() != null));
    }

    @Test
    void withoutASidecarDocumentsFailOrWait() throws Exception {
        server.shutdownNow();
        var refused = wrappers(texts(6));
        run(processor(OnUnavailable.FAIL), refused);
        refused.forEach(one -> assertEquals(RestStatus.SERVICE_UNAVAILABLE, status(one)));
        var deferred = wrappers(texts(6));
        deferred.forEach(one -> one.getIngestDocument().setFieldValue(IndexSetup.HASH, "of another text"));
        run(processor(OnUnavailable.DEFER), deferred);
        for (var wrapper : deferred) {
            assertNull(wrapper.getException());
            assertEquals("pending", field(wrapper, IndexSetup.STATE));
            assertNull(field(wrapper, IndexSetup.HASH));
            assertNull(field(wrapper, IndexSetup.WEIGHTS));
        }
        assertEquals(6, node.stats().snapshot().get("documents_deferred"));
    }

    @Test
    void whatTheIndexHoldsOfTheSameTextIsKept() throws Exception {
        stored.put("d1", new StoredParts("hash", ByteString.copyFromUtf8("terms"), ByteString.copyFromUtf8("known codes")));
        stored.put("d2", new StoredParts("of another text", ByteString.copyFromUtf8("old"), ByteString.copyFromUtf8("old")));
        var wrappers = wrappers(texts(3));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertEquals("known codes", new String(Base64.getDecoder().decode((String) field(wrappers.get(1), IndexSetup.CODES))));
        assertEquals("codes", new String(Base64.getDecoder().decode((String) field(wrappers.get(2), IndexSetup.CODES))));
        assertEquals(1, node.stats().snapshot().get("documents_reused"));
        assertEquals(1, reads.get());
    }

    @Test
    void whatCannotBeReadIsEncodedAgain() throws Exception {
        readingFails = true;
        var wrappers = wrappers(texts(2));
        run(processor(OnUnavailable.FAIL), wrappers);
        assertTrue(wrappers.stream().allMatch(one -> "ok".equals(field(one, IndexSetup.STATE))));
    }

    @Test
    void anIndexThatWasNotSetUpFailsItsDocumentsOnly() throws Exception {
        var wrappers = wrappers("a", "b");
        wrappers.get(0).getIngestDocument().getSourceAndMetadata().put("_index", "films");
        run(processor(OnUnavailable.DEFER), wrappers);
        assertTrue(wrappers.get(0).getException().getMessage().contains("run cherche setup films"));
        assertEquals("ok", field(wrappers.get(1), IndexSetup.STATE));
    }

    @Test
    void aBulkWithNothingToEncodeIsHandedOnAtOnce() throws Exception {
        var spoilt = new IngestDocumentWrapper(0, 0, null, new IllegalStateException("an earlier processor"));
        run(processor(OnUnavailable.FAIL), List.of(spoilt));
        assertEquals("an earlier processor", spoilt.getException().getMessage());
        assertEquals(0, calls.size());
    }
}
