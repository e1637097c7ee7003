package org.cherche.opensearch;

import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.opensearch.action.ActionType;
import org.opensearch.action.FailedNodeException;
import org.opensearch.action.support.ActionFilters;
import org.opensearch.action.support.nodes.BaseNodeResponse;
import org.opensearch.action.support.nodes.BaseNodesRequest;
import org.opensearch.action.support.nodes.BaseNodesResponse;
import org.opensearch.action.support.nodes.TransportNodesAction;
import org.opensearch.cluster.ClusterName;
import org.opensearch.cluster.node.DiscoveryNode;
import org.opensearch.cluster.service.ClusterService;
import org.opensearch.common.inject.Inject;
import org.opensearch.core.common.io.stream.StreamInput;
import org.opensearch.core.common.io.stream.StreamOutput;
import org.opensearch.core.xcontent.ToXContentFragment;
import org.opensearch.core.xcontent.XContentBuilder;
import org.opensearch.rest.BaseRestHandler;
import org.opensearch.rest.RestRequest;
import org.opensearch.rest.action.RestActions.NodesResponseRestListener;
import org.opensearch.threadpool.ThreadPool;
import org.opensearch.transport.TransportRequest;
import org.opensearch.transport.TransportService;
import org.opensearch.transport.client.node.NodeClient;

/** {@code GET _plugins/_cherche/stats}: counters of the plugin on every node. */
public final class StatsAction extends ActionType<StatsAction.Response> {

    static final StatsAction INSTANCE = new StatsAction();

    private StatsAction() {
        super("cluster:monitor/cherche/stats", Response::new);
    }

    public static final class Request extends BaseNodesRequest<Request> {

        Request() {
            super(new String[0]);
        }

        Request(StreamInput in) throws IOException {
            super(in);
        }
    }

    public static final class NodeRequest extends TransportRequest {

        NodeRequest() {}

        NodeRequest(StreamInput in) throws IOException {
            super(in);
        }
    }

    public static final class NodeStats extends BaseNodeResponse {

        private final Map<String, Object> values;

        NodeStats(DiscoveryNode node, Map<String, Object> values) {
            super(node);
            this.values = values;
        }

        NodeStats(StreamInput in) throws IOException {
            super(in);
            this.values = in.readMap();
        }

        @Override
        public void writeTo(StreamOutput out) throws IOException {
            super.writeTo(out);
            out.writeMap(values);
        }
    }

    public static final class Response extends BaseNodesResponse<NodeStats> implements ToXContentFragment {

        Response(ClusterName name, List<NodeStats> nodes, List<FailedNodeException> failures) {
            super(name, nodes, failures);
        }

        Response(StreamInput in) throws IOException {
            super(in);
        }

        @Override
        protected List<NodeStats> readNodesFrom(StreamInput in) throws IOException {
            return in.readList(NodeStats::new);
        }

        @Override
        protected void writeNodesTo(StreamOutput out, List<NodeStats> nodes) throws IOException {
            out.writeList(nodes);
        }

        @Override
        public XContentBuilder toXContent(XContentBuilder builder, Params params) throws IOException {
            builder.startObject("nodes");
            for (NodeStats node : getNodes()) {
                builder.field(node.getNode().getId(), node.values);
            }
            return builder.endObject();
        }
    }

    /** Collects the counters of every node. */
    public static final class Transport extends TransportNodesAction<Request, Response, NodeRequest, NodeStats> {

        private final Node node;

        @Inject
        public Transport(
            ThreadPool pool,
            ClusterService clusterService,
            TransportService transport,
            ActionFilters filters,
            Node node
        ) {
            super(
                INSTANCE.name(),
                pool,
                clusterService,
                transport,
                filters,
                Request::new,
                NodeRequest::new,
                ThreadPool.Names.MANAGEMENT,
                NodeStats.class
            );
            this.node = node;
        }

        @Override
        protected Response newResponse(Request request, List<NodeStats> nodes, List<FailedNodeException> failures) {
            return new Response(clusterService.getClusterName(), nodes, failures);
        }

        @Override
        protected NodeRequest newNodeRequest(Request request) {
            return new NodeRequest();
        }

        @Override
        protected NodeStats newNodeResponse(StreamInput in) throws IOException {
            return new NodeStats(in);
        }

        @Override
        protected NodeStats nodeOperation(NodeRequest request) {
            Map<String, Object> values = new LinkedHashMap<>();
            values.put("name", clusterService.localNode().getName());
            values.put("enabled", node.settings().enabled());
            values.put("endpoints", node.sidecar().address().endpoints());
            values.put("breaker_open", node.sidecar().breaker().isOpen());
            values.put("breaker_opened", node.sidecar().breaker().opened());
            values.put("code_bytes_per_hit", node.budget().bytesPerHit());
            values.putAll(node.stats().snapshot());
            return new NodeStats(clusterService.localNode(), values);
        }
    }

    /** The REST handler. */
    static final class Rest extends BaseRestHandler {

        @Override
        public String getName() {
            return "cherche_stats";
        }

        @Override
        public List<Route> routes() {
            return List.of(new Route(RestRequest.Method.GET, "/_plugins/_cherche/stats"));
        }

        @Override
        protected RestChannelConsumer prepareRequest(RestRequest request, NodeClient client) {
            return channel -> client.execute(INSTANCE, new Request(), new NodesResponseRestListener<>(channel));
        }
    }
}
