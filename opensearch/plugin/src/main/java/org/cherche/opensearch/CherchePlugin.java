package org.cherche.opensearch;

import java.nio.file.Path;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.opensearch.action.ActionRequest;
import org.opensearch.action.support.ActionFilter;
import org.opensearch.cluster.metadata.IndexNameExpressionResolver;
import org.opensearch.cluster.node.DiscoveryNodes;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.settings.ClusterSettings;
import org.opensearch.common.settings.IndexScopedSettings;
import org.opensearch.common.settings.Setting;
import org.opensearch.common.settings.Settings;
import org.opensearch.common.settings.SettingsFilter;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionResponse;
import org.opensearch.core.common.breaker.CircuitBreaker;
import org.opensearch.core.common.io.stream.NamedWriteableRegistry;
import org.opensearch.core.common.settings.SecureString;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.env.Environment;
import org.opensearch.env.NodeEnvironment;
import org.opensearch.indices.breaker.BreakerSettings;
import org.opensearch.ingest.Processor;
import org.opensearch.monitor.jvm.JvmInfo;
import org.opensearch.plugins.ActionPlugin;
import org.opensearch.plugins.CircuitBreakerPlugin;
import org.opensearch.plugins.IngestPlugin;
import org.opensearch.plugins.Plugin;
import org.opensearch.plugins.ReloadablePlugin;
import org.opensearch.plugins.SearchPipelinePlugin;
import org.opensearch.plugins.SearchPlugin;
import org.opensearch.repositories.RepositoriesService;
import org.opensearch.rest.RestController;
import org.opensearch.rest.RestHeaderDefinition;
import org.opensearch.rest.RestHandler;
import org.opensearch.script.ScriptService;
import org.opensearch.search.fetch.FetchSubPhase;
import org.opensearch.search.pipeline.SearchRequestProcessor;
import org.opensearch.search.pipeline.SearchResponseProcessor;
import org.opensearch.threadpool.ExecutorBuilder;
import org.opensearch.threadpool.ScalingExecutorBuilder;
import org.opensearch.threadpool.ThreadPool;
import org.opensearch.transport.client.Client;
import org.opensearch.watcher.ResourceWatcherService;

/** Term weights at ingest, hybrid queries and MaxSim reranking, through sidecars called over gRPC. */
public final class CherchePlugin extends Plugin
    implements
        IngestPlugin,
        SearchPipelinePlugin,
        SearchPlugin,
        CircuitBreakerPlugin,
        ActionPlugin,
        ReloadablePlugin {

    private final Path config;
    private CircuitBreaker rerankBreaker;
    private Hosts hosts;
    private Node node;

    public CherchePlugin(Settings settings, Path config) {
        this.config = config;
    }

    @Override
    public List<Setting<?>> getSettings() {
        return ChercheSettings.ALL;
    }

    @Override
    public List<ExecutorBuilder<?>> getExecutorBuilders(Settings settings) {
        int most = Math.max(4, 2 * Runtime.getRuntime().availableProcessors());
        return List.of(new ScalingExecutorBuilder(Sidecar.POOL, 1, most, TimeValue.timeValueMinutes(1)));
    }

    @Override
    public Collection<Object> createComponents(
        Client client,
        ClusterService clusterService,
        ThreadPool threadPool,
        ResourceWatcherService watcher,
        ScriptService scripts,
        NamedXContentRegistry xContent,
        Environment environment,
        NodeEnvironment nodeEnvironment,
        NamedWriteableRegistry writeables,
        IndexNameExpressionResolver names,
        Supplier<RepositoriesService> repositories
    ) {
        Settings settings = environment.settings();
        ClusterSettings cluster = clusterService.getClusterSettings();
        var breaker = new Breaker(
            ChercheSettings.BREAKER_FAILURES.get(settings),
            ChercheSettings.BREAKER_PAUSE.get(settings).nanos(),
            System::nanoTime
        );
        cluster.addSettingsUpdateConsumer(ChercheSettings.BREAKER_FAILURES, breaker::setFailures);
        cluster.addSettingsUpdateConsumer(ChercheSettings.BREAKER_PAUSE, pause -> breaker.setPause(pause.nanos()));
        hosts = Hosts.of(settings);
        Sidecar.Address address = address(settings);
        hosts.check(address);
        var sidecar = new Sidecar(address, breaker, threadPool);
        cluster.addSettingsUpdateConsumer(
            ChercheSettings.ENDPOINTS,
            endpoints -> sidecar.connect(with(sidecar.address(), endpoints)),
            endpoints -> hosts.check(with(sidecar.address(), endpoints))
        );
        node = new Node(
            client,
            clusterService,
            names,
            writeables,
            xContent,
            new ChercheSettings(settings, cluster),
            ChercheSettings.QUERY_CACHE.get(settings),
            sidecar,
            new Budget(rerankBreaker, threadPool)
        );
        return List.of(node);
    }

    @Override
    public BreakerSettings getCircuitBreaker(Settings settings) {
        long heap = JvmInfo.jvmInfo().getMem().getHeapMax().getBytes();
        return BreakerSettings.updateFromSettings(new BreakerSettings(Budget.BREAKER, heap / 10, 1.0), settings);
    }

    @Override
    public void setCircuitBreaker(CircuitBreaker breaker) {
        rerankBreaker = breaker;
    }

    @Override
    public Map<String, Processor.Factory> getProcessors(Processor.Parameters parameters) {
        return Map.of(EncodeProcessor.TYPE, new EncodeProcessor.Factory(this::node));
    }

    @Override
    public Map<String, org.opensearch.search.pipeline.Processor.Factory<SearchRequestProcessor>> getRequestProcessors(
        SearchPipelinePlugin.Parameters parameters
    ) {
        return Map.of(QueryProcessor.TYPE, new QueryProcessor.Factory(this::node));
    }

    @Override
    public Map<String, org.opensearch.search.pipeline.Processor.Factory<SearchResponseProcessor>> getResponseProcessors(
        SearchPipelinePlugin.Parameters parameters
    ) {
        return Map.of(RerankProcessor.TYPE, new RerankProcessor.Factory(this::node));
    }

    @Override
    public List<SearchExtSpec<?>> getSearchExts() {
        return List.of(
            new SearchExtSpec<>(ChercheExt.NAME, ChercheExt::new, ChercheExt::parse),
            new SearchExtSpec<>(MaxSimQuery.NAME, MaxSimQuery::new, MaxSimQuery::rejectClients)
        );
    }

    @Override
    public List<FetchSubPhase> getFetchSubPhases(FetchPhaseConstructionContext context) {
        return List.of(new MaxSimPhase());
    }

    /** Uses the token of the keystore from the next call on. */
    @Override
    public void reload(Settings settings) {
        Sidecar.Address now = node.sidecar().address();
        var next = new Sidecar.Address(now.endpoints(), now.tls(), now.ca(), token(settings));
        hosts.check(next);
        node.sidecar().connect(next);
    }

    @Override
    public void close() {
        if (node != null) {
            node.sidecar().close();
        }
    }

    @Override
    public List<ActionHandler<? extends ActionRequest, ? extends ActionResponse>> getActions() {
        return List.of(new ActionHandler<>(StatsAction.INSTANCE, StatsAction.Transport.class));
    }

    @Override
    public Collection<RestHeaderDefinition> getRestHeaders() {
        // Several values are joined instead of refused: a header of ours must not fail a request.
        return Sidecar.TRACE.stream().map(name -> new RestHeaderDefinition(name, true)).toList();
    }

    @Override
    public List<ActionFilter> getActionFilters() {
        return List.of(new SearchFilter(this::node), new PartialUpdates(this::node));
    }

    @Override
    public List<RestHandler> getRestHandlers(
        Settings settings,
        RestController controller,
        ClusterSettings cluster,
        IndexScopedSettings indexSettings,
        SettingsFilter filter,
        IndexNameExpressionResolver names,
        Supplier<DiscoveryNodes> nodes
    ) {
        return List.of(new StatsAction.Rest());
    }

    private Node node() {
        return node;
    }

    private Sidecar.Address address(Settings settings) {
        String ca = ChercheSettings.TLS_CA.get(settings);
        return new Sidecar.Address(
            ChercheSettings.ENDPOINTS.get(settings),
            ChercheSettings.TLS.get(settings),
            ca.isEmpty() ? null : config.resolve(ca),
            token(settings)
        );
    }

    private static Sidecar.Address with(Sidecar.Address address, List<String> endpoints) {
        return new Sidecar.Address(endpoints, address.tls(), address.ca(), address.token());
    }

    private static String token(Settings settings) {
        try (SecureString token = ChercheSettings.TOKEN.get(settings)) {
            return token.toString();
        }
    }
}
