package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.net.InetAddress;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.opensearch.Version;
import org.opensearch.cluster.ClusterName;
import org.opensearch.cluster.node.DiscoveryNode;
import org.opensearch.common.io.stream.BytesStreamOutput;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.common.transport.TransportAddress;
import org.opensearch.core.xcontent.ToXContent;
import org.opensearch.rest.RestHandler.Route;
import org.opensearch.rest.RestRequest;

class StatsActionTests {

    private static StatsAction.Response response() {
        var address = new TransportAddress(InetAddress.getLoopbackAddress(), 9300);
        var node = new DiscoveryNode("n1", "n1", address, Map.of(), Set.of(), Version.CURRENT);
        var stats = new StatsAction.NodeStats(node, Map.of("enabled", true, "ingest_calls", 3L, "endpoints", List.of("a:1")));
        return new StatsAction.Response(new ClusterName("c"), List.of(stats), List.of());
    }

    private static Map<String, Object> json(StatsAction.Response response) throws IOException {
        try (var builder = JsonXContent.contentBuilder()) {
            response.toXContent(builder.startObject(), ToXContent.EMPTY_PARAMS).endObject();
            try (var parser = JsonXContent.jsonXContent.createParser(null, null, builder.toString())) {
                return parser.map();
            }
        }
    }

    @Test
    void countersAreShownByNode() throws IOException {
        var counters = Map.of("enabled", true, "ingest_calls", 3, "endpoints", List.of("a:1"));
        assertEquals(Map.of("nodes", Map.of("n1", counters)), json(response()));
    }

    @Test
    void aResponseSurvivesTheTransport() throws IOException {
        try (var out = new BytesStreamOutput()) {
            response().writeTo(out);
            assertEquals(json(response()), json(new StatsAction.Response(out.bytes().streamInput())));
        }
    }

    @Test
    void theRouteIsThatOfTheReadme() {
        assertEquals(List.of(new Route(RestRequest.Method.GET, "/_plugins/_cherche/stats")), new StatsAction.Rest().routes());
    }
}
