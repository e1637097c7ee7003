package org.cherche.opensearch;

import cherche.v1.Plugin.FindPassagesRequest;
import cherche.v1.Plugin.FindPassagesResponse;
import cherche.v1.Plugin.GetQueryTableRequest;
import cherche.v1.Plugin.GetQueryTableResponse;
import cherche.v1.Plugin.PrepareDocumentsRequest;
import cherche.v1.Plugin.PrepareDocumentsResponse;
import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Plugin.RerankHitsRequest;
import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.PluginServiceGrpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.okhttp.OkHttpServerBuilder;
import io.grpc.protobuf.services.HealthStatusManager;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.stream.Stream;
import org.opensearch.Version;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.search.ShardSearchFailure;
import org.opensearch.cluster.ClusterName;
import org.opensearch.cluster.ClusterState;
import org.opensearch.cluster.metadata.AliasMetadata;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.metadata.IndexNameExpressionResolver;
import org.opensearch.cluster.metadata.Metadata;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.common.breaker.CircuitBreaker;
import org.opensearch.core.common.breaker.NoopCircuitBreaker;
import org.opensearch.core.ParseField;
import org.opensearch.core.common.io.stream.NamedWriteableRegistry;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchHits;
import org.opensearch.search.SearchModule;
import org.opensearch.search.internal.InternalSearchResponse;
import org.opensearch.threadpool.ScalingExecutorBuilder;
import org.opensearch.threadpool.ThreadPool;
import org.opensearch.transport.client.Client;

/**
 * A node's services over a scripted client and a scripted sidecar behind a real channel. The indices {@code books} and
 * {@code papers} have the same setup, so has {@code narrow}, whose result window is 6; {@code films} has another one,
 * {@code plain} has none; {@code library} is an alias of {@code books}; {@code old} was set up by an earlier release.
 */
final class TestNode implements AutoCloseable {

    private static final String META = """
        {"_meta": {"cherche": {"fields": [{"name": "text"}], "codec": "%s", "rerank": {"weight": 0.5, "window": 10},
         "fingerprint": {"sparse": "s", "codes": "c"}}},
         "properties": {"cherche_digest": {"type": "binary"}, "cherche_status": {"type": "object"}}}""";
    /** The same of an earlier release. */
    private static final String OLD_META = META.replace("cherche_digest", "cherche_hash").replace("cherche_status", "cherche_state");

    final ThreadPool pool = new ThreadPool(
        Settings.builder().put("node.name", "test").build(),
        new ScalingExecutorBuilder(Sidecar.POOL, 1, 4, TimeValue.timeValueSeconds(10))
    );
    final Node node;
    final ClusterSettings settings;
    /** Requests that the sidecar received, in order. */
    final List<Object> calls = new CopyOnWriteArrayList<>();
    /** Requests that the client received, in order. */
    final List<SearchRequest> searches = new CopyOnWriteArrayList<>();
    volatile Function<PrepareDocumentsRequest, PrepareDocumentsResponse> prepareDocuments = TestNode::unimplemented;
    volatile Function<PrepareQueryRequest, PrepareQueryResponse> prepareQuery = TestNode::unimplemented;
    volatile Function<GetQueryTableRequest, GetQueryTableResponse> getQueryTable = TestNode::unimplemented;
    volatile Function<RerankHitsRequest, RerankHitsResponse> rerankHits = TestNode::unimplemented;
    volatile Function<FindPassagesRequest, FindPassagesResponse> findPassages = TestNode::unimplemented;
    volatile Function<SearchRequest, SearchResponse> search = request -> response();
    final Client client = client();
    private final Server server;
    private final AtomicLong reserved = new AtomicLong();
    private final CircuitBreaker breaker = new NoopCircuitBreaker(Budget.BREAKER) {
        @Override
        public double addEstimateBytesAndMaybeBreak(long bytes, String label) {
            return reserved.addAndGet(bytes);
        }

        @Override
        public long addWithoutBreaking(long bytes) {
            return reserved.addAndGet(bytes);
        }
    };

    TestNode(Settings values) {
        var health = new HealthStatusManager();
        health.setStatus(PluginServiceGrpc.SERVICE_NAME, ServingStatus.SERVING);
        try {
            server = OkHttpServerBuilder.forPort(
                new InetSocketAddress(InetAddress.getLoopbackAddress(), 0),
                InsecureServerCredentials.create()
            ).addService(health.getHealthService()).addService(new Scripted()).build().start();
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        Set<Setting<?>> known = new HashSet<>(ClusterSettings.BUILT_IN_CLUSTER_SETTINGS);
        known.addAll(ChercheSettings.ALL);
        settings = new ClusterSettings(values, known);
        var service = new ClusterService(values, settings, pool);
        service.getClusterApplierService().setInitialState(state());
        var searchModule = new SearchModule(Settings.EMPTY, List.of());
        node = new Node(
            client,
            service,
            new IndexNameExpressionResolver(new ThreadContext(Settings.EMPTY)),
            new NamedWriteableRegistry(searchModule.getNamedWriteables()),
            new NamedXContentRegistry(queries(searchModule)),
            new ChercheSettings(values, settings),
            10,
            new Sidecar(
                new Sidecar.Address(List.of("127.0.0.1:" + server.getPort()), false, null, ""),
                new Breaker(100, 1, System::nanoTime),
                pool
            ),
            new Budget(breaker, pool)
        );
    }

    TestNode() {
        this(Settings.builder().put("plugins.cherche.query.deadline", "20s").put("plugins.cherche.rerank.deadline", "20s")
            .put("plugins.cherche.passages.deadline", "20s").build());
    }

    void stopSidecar() {
        server.shutdownNow();
    }

    @Override
    public void close() {
        node.sidecar().close();
        server.shutdownNow();
        if (!ThreadPool.terminate(pool, 10, TimeUnit.SECONDS)) {
            throw new IllegalStateException("the thread pool did not terminate");
        }
    }

    /** Bytes of the budget of reranks that are in use. */
    long reserved() {
        return reserved.get();
    }

    long count(Stats.Count count) {
        return node.stats().snapshot().get(count.name().toLowerCase(Locale.ROOT));
    }

    /** Waits for the response of an asynchronous call. */
    static <T> T await(Consumer<ActionListener<T>> call) throws Exception {
        var future = new CompletableFuture<T>();
        call.accept(ActionListener.wrap(future::complete, future::completeExceptionally));
        return future.get(30, TimeUnit.SECONDS);
    }

    /** A response with hits in descending order of score. */
    static SearchResponse response(SearchHit... hits) {
        for (int place = 0; place < hits.length; place++) {
            hits[place].score(hits.length - place);
        }
        var all = new SearchHits(hits, null, hits.length);
        var internal = new InternalSearchResponse(all, null, null, null, false, null, 1);
        return new SearchResponse(internal, null, 1, 1, 0, 5, ShardSearchFailure.EMPTY_ARRAY, SearchResponse.Clusters.EMPTY);
    }

    static SearchHit hit(String id) {
        return new SearchHit(0, id, Map.of(), Map.of());
    }

    static List<String> ids(SearchResponse response) {
        return Stream.of(response.getHits().getHits()).map(SearchHit::getId).toList();
    }

    /** The queries of the engine, with a stand-in for {@code rank_feature}, which a module adds. */
    static List<NamedXContentRegistry.Entry> queries(SearchModule module) {
        List<NamedXContentRegistry.Entry> entries = new ArrayList<>(module.getNamedXContents());
        entries.add(new NamedXContentRegistry.Entry(QueryBuilder.class, new ParseField("rank_feature"), parser -> {
            String field = String.valueOf(parser.map().get("field"));
            if (field.endsWith(".broken")) {
                throw new IllegalArgumentException(field);
            }
            return QueryBuilders.termQuery(field, "");
        }));
        return entries;
    }

    private static <Q, R> R unimplemented(Q request) {
        throw Status.UNIMPLEMENTED.asRuntimeException();
    }

    private static ClusterState state() {
        var metadata = Metadata.builder()
            .put(index("books", META.formatted("int8")).putAlias(AliasMetadata.builder("library")).build(), false)
            .put(index("papers", META.formatted("int8")).build(), false)
            .put(index("narrow", META.formatted("int8"), Map.of("index.max_result_window", 6)).build(), false)
            .put(index("films", META.formatted("residual2")).build(), false)
            .put(index("old", OLD_META.formatted("int8")).build(), false)
            .put(index("broken", "{\"_meta\": {\"cherche\": {\"fields\": 3}}}").build(), false)
            .put(index("plain", "{}").build(), false);
        return ClusterState.builder(ClusterName.DEFAULT).metadata(metadata).build();
    }

    private static IndexMetadata.Builder index(String name, String mapping) {
        return index(name, mapping, Map.of());
    }

    private static IndexMetadata.Builder index(String name, String mapping, Map<String, ?> own) {
        Settings settings = Settings.builder()
            .loadFromMap(own)
            .put(IndexMetadata.SETTING_VERSION_CREATED, Version.CURRENT)
            .put(IndexMetadata.SETTING_INDEX_UUID, "uuid of " + name)
            .put(IndexMetadata.SETTING_NUMBER_OF_SHARDS, 1)
            .put(IndexMetadata.SETTING_NUMBER_OF_REPLICAS, 0)
            .build();
        try {
            return IndexMetadata.builder(name).settings(settings).putMapping(mapping);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private Client client() {
        return (Client) Proxy.newProxyInstance(getClass().getClassLoader(), new Class<?>[] { Client.class }, (self, method, arguments) -> {
            if (!method.getName().equals("search")) {
                throw new UnsupportedOperationException(method.getName());
            }
            var request = (SearchRequest) arguments[0];
            searches.add(request);
            @SuppressWarnings("unchecked")
            var listener = (ActionListener<SearchResponse>) arguments[1];
            pool.generic().execute(() -> ActionListener.completeWith(listener, () -> search.apply(request)));
            return null;
        });
    }

    private final class Scripted extends PluginServiceGrpc.PluginServiceImplBase {

        private <Q, R> void reply(Q request, Function<Q, R> script, StreamObserver<R> observer) {
            calls.add(request);
            try {
                observer.onNext(script.apply(request));
                observer.onCompleted();
            } catch (RuntimeException e) {
                observer.onError(e);
            }
        }

        @Override
        public void prepareDocuments(PrepareDocumentsRequest request, StreamObserver<PrepareDocumentsResponse> observer) {
            reply(request, prepareDocuments, observer);
        }

        @Override
        public void prepareQuery(PrepareQueryRequest request, StreamObserver<PrepareQueryResponse> observer) {
            reply(request, prepareQuery, observer);
        }

        @Override
        public void getQueryTable(GetQueryTableRequest request, StreamObserver<GetQueryTableResponse> observer) {
            reply(request, getQueryTable, observer);
        }

        @Override
        public void findPassages(FindPassagesRequest request, StreamObserver<FindPassagesResponse> observer) {
            reply(request, findPassages, observer);
        }

        @Override
        public void rerankHits(RerankHitsRequest request, StreamObserver<RerankHitsResponse> observer) {
            reply(request, rerankHits, observer);
        }
    }
}
