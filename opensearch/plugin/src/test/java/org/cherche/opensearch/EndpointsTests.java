package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.grpc.ChannelLogger;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolver.ResolutionResult;
import io.grpc.Status;
import io.grpc.SynchronizationContext;
import java.net.InetSocketAddress;
import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class EndpointsTests {

    private static NameResolver resolver(String target) {
        var arguments = NameResolver.Args.newBuilder()
            .setDefaultPort(1)
            .setProxyDetector(address -> null)
            .setSynchronizationContext(new SynchronizationContext((thread, error) -> { throw new AssertionError(error); }))
            .setServiceConfigParser(new NameResolver.ServiceConfigParser() {
                @Override
                public NameResolver.ConfigOrError parseServiceConfig(Map<String, ?> config) {
                    return NameResolver.ConfigOrError.fromConfig(config);
                }
            })
            .setChannelLogger(new ChannelLogger() {
                @Override
                public void log(ChannelLogLevel level, String message) {}

                @Override
                public void log(ChannelLogLevel level, String format, Object... values) {}
            })
            .setOffloadExecutor(Runnable::run)
            .build();
        return new Endpoints().newNameResolver(URI.create(target), arguments);
    }

    private static ResolutionResult resolve(String target) {
        List<ResolutionResult> results = new ArrayList<>();
        resolver(target).start(new NameResolver.Listener2() {
            @Override
            public void onResult(ResolutionResult result) {
                results.add(result);
            }

            @Override
            public void onError(Status error) {
                throw error.asRuntimeException();
            }
        });
        assertEquals(1, results.size());
        return results.get(0);
    }

    private static List<String> addresses(ResolutionResult result) {
        return result.getAddressesOrError().getValue().stream().map(EndpointsTests::address).toList();
    }

    private static String address(EquivalentAddressGroup group) {
        var address = (InetSocketAddress) group.getAddresses().get(0);
        String authority = group.getAttributes().get(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE);
        return authority + " at " + address.getAddress().getHostAddress() + ":" + address.getPort();
    }

    @Test
    void endpointsAreHostAndPort() {
        assertEquals("127.0.0.1:9000", Endpoints.parse("127.0.0.1:9000").toString().replace("/<unresolved>", ""));
        assertEquals("::1", Endpoints.parse("[::1]:9000").getHostString());
        assertEquals(9000, Endpoints.parse("[::1]:9000").getPort());
        for (String wrong : List.of("", "host", "host:", ":1", "host:0", "host:-1", "host:x", "host:70000")) {
            var error = assertThrows(IllegalArgumentException.class, () -> Endpoints.parse(wrong), wrong);
            assertEquals("plugins.cherche.endpoints: [" + wrong + "] is not host:port", error.getMessage());
        }
    }

    @Test
    void everyAddressKeepsTheAuthorityOfItsHost() {
        String target = Endpoints.target(List.of("127.0.0.1:9000", "[::1]:9001"));
        assertEquals("cherche:///127.0.0.1:9000,[::1]:9001", target);
        assertEquals(
            List.of("127.0.0.1:9000 at 127.0.0.1:9000", "[::1]:9001 at 0:0:0:0:0:0:0:1:9001"),
            addresses(resolve("cherche:///127.0.0.1:9000,%5B::1%5D:9001"))
        );
        assertEquals("127.0.0.1:9000", resolver("cherche:///127.0.0.1:9000").getServiceAuthority());
    }

    @Test
    void aHostThatDoesNotResolveIsSkipped() {
        ResolutionResult result = resolve("cherche:///no.such.host.invalid:1,127.0.0.1:2");
        assertEquals(List.of("127.0.0.1:2 at 127.0.0.1:2"), addresses(result));
    }

    @Test
    void withoutAnyAddressTheErrorNamesTheSetting() {
        Status status = resolve("cherche:///no.such.host.invalid:1").getAddressesOrError().getStatus();
        assertEquals(Status.Code.UNAVAILABLE, status.getCode());
        assertTrue(status.getDescription().contains("check plugins.cherche.endpoints"), status.getDescription());
    }

    @Test
    void otherSchemesAreLeftToOthers() {
        assertNull(resolver("dns:///127.0.0.1:9000"));
    }
}
