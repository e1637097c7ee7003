package org.cherche.opensearch;

import java.util.function.Supplier;
import org.opensearch.OpenSearchParseException;
import org.opensearch.action.search.SearchContextId;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.support.IndicesOptions;
import org.opensearch.cluster.ClusterState;
import org.opensearch.cluster.metadata.IndexAbstraction;
import org.opensearch.cluster.metadata.IndexMetadata;
import org.opensearch.cluster.metadata.IndexNameExpressionResolver;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.common.io.stream.NamedWriteableRegistry;
import org.opensearch.core.index.Index;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.index.IndexNotFoundException;
import org.opensearch.index.IndexSettings;
import org.opensearch.search.builder.PointInTimeBuilder;
import org.opensearch.transport.client.Client;

/** The services that the processors of one node share. */
public final class Node {

    private static final String NO_COMMON_SETUP =
        "an index of the search is not set up for cherche, or its setup differs from that of the others: run cherche setup";

    /** Texts and codes that are sent to find the passages of one page. */
    private static final long PASSAGE_BYTES = 16L << 20;

    /** Gives the node to the processor factories, which the engine creates before it. */
    interface Provider extends Supplier<Node> {}

    private final ClusterService clusterService;
    private final IndexNameExpressionResolver names;
    private final NamedWriteableRegistry writeables;
    private final ChercheSettings settings;
    private final Sidecar sidecar;
    private final Budget budget;
    private final StoredParts.Reader stored;
    private final QueryRewriter rewriter;
    private final Stats stats = new Stats();
    private final Reranker reranker = new Reranker(this);
    private final Passages passages;
    private final Shadow shadow;
    private final ConcurrencyLimit ingestLimit;

    Node(
        Client client,
        ClusterService clusterService,
        IndexNameExpressionResolver names,
        NamedWriteableRegistry writeables,
        NamedXContentRegistry xContent,
        ChercheSettings settings,
        int queryCache,
        Sidecar sidecar,
        Budget budget
    ) {
        this.clusterService = clusterService;
        this.names = names;
        this.writeables = writeables;
        this.settings = settings;
        this.sidecar = sidecar;
        this.budget = budget;
        this.stored = new StoredParts.Reader(client);
        this.rewriter = new QueryRewriter(this, xContent, queryCache);
        this.passages = new Passages(this, new PageTexts(client), PASSAGE_BYTES);
        this.shadow = new Shadow(this, client);
        this.ingestLimit = new ConcurrencyLimit(settings::ingestConcurrency);
    }

    ChercheSettings settings() {
        return settings;
    }

    Sidecar sidecar() {
        return sidecar;
    }

    Budget budget() {
        return budget;
    }

    StoredParts.Reader stored() {
        return stored;
    }

    QueryRewriter rewriter() {
        return rewriter;
    }

    Reranker reranker() {
        return reranker;
    }

    Passages passages() {
        return passages;
    }

    Shadow shadow() {
        return shadow;
    }

    Stats stats() {
        return stats;
    }

    ThreadContext threadContext() {
        return clusterService.getClusterApplierService().threadPool().getThreadContext();
    }

    ConcurrencyLimit ingestLimit() {
        return ingestLimit;
    }

    /** The setup of the index that an index or alias name writes to; null where there is none that can be read. */
    IndexSetup setupForWriting(String name) {
        IndexMetadata index = writeIndex(name);
        return index == null ? null : IndexSetup.of(index);
    }

    /** The index that a name writes to, be it of an index, of an alias or date math; null where there is none. */
    IndexMetadata writeIndex(String name) {
        if (name == null) {
            return null;
        }
        try {
            IndexAbstraction target = state().metadata().getIndicesLookup().get(names.resolveDateMathExpression(name));
            return target == null ? null : target.getWriteIndex();
        } catch (OpenSearchParseException e) {
            return null; // date math that cannot be read: the write itself reports it
        }
    }

    /**
     * What a search reads.
     *
     * @param setup the common one of all indices; null where an index has none or a different one
     * @param maxWindow the least {@code index.max_result_window} of them
     * @param problem why there is no common setup; empty where there is one
     */
    record Searched(IndexSetup setup, int maxWindow, String problem) {

        private static Searched without(String problem) {
            return new Searched(null, 0, problem);
        }
    }

    Searched searched(SearchRequest request) {
        IndexSetup common = null;
        int maxWindow = Integer.MAX_VALUE;
        try {
            for (Index index : indices(request)) {
                IndexMetadata metadata = state().metadata().index(index);
                IndexSetup setup = metadata == null ? null : IndexSetup.of(metadata);
                if (setup == null || common != null && !common.json().equals(setup.json())) {
                    String problem = metadata == null ? "" : IndexSetup.problem(metadata);
                    return Searched.without(problem.isEmpty() ? NO_COMMON_SETUP : problem);
                }
                common = setup;
                maxWindow = Math.min(maxWindow, IndexSettings.MAX_RESULT_WINDOW_SETTING.get(metadata.getSettings()));
            }
        } catch (IndexNotFoundException e) {
            return Searched.without(NO_COMMON_SETUP); // the search itself reports the missing index
        }
        return common == null ? Searched.without(NO_COMMON_SETUP) : new Searched(common, maxWindow, "");
    }

    /** A request with a point in time names no indices: the point in time holds them. */
    private Index[] indices(SearchRequest request) {
        PointInTimeBuilder point = request.pointInTimeBuilder();
        if (point == null) {
            return names.concreteIndices(state(), request);
        }
        String[] indices = SearchContextId.decode(writeables, point.getId()).getActualIndices();
        return names.concreteIndices(state(), IndicesOptions.strictExpand(), indices);
    }

    private ClusterState state() {
        return clusterService.state();
    }
}
