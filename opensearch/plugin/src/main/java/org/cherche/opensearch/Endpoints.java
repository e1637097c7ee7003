package org.cherche.opensearch;

import io.grpc.Attributes;
import io.grpc.EquivalentAddressGroup;
import io.grpc.NameResolver;
import io.grpc.NameResolverProvider;
import io.grpc.Status;
import io.grpc.StatusOr;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.URI;
import java.net.UnknownHostException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.Executor;

/** Resolves {@code cherche:///host:port,host:port} to all addresses of all hosts. */
final class Endpoints extends NameResolverProvider {

    static final String SCHEME = "cherche";

    /** The channel target for a list of endpoints. */
    static String target(List<String> endpoints) {
        endpoints.forEach(Endpoints::parse);
        return SCHEME + ":///" + String.join(",", endpoints);
    }

    /**
     * Reads host:port.
     *
     * @throws IllegalArgumentException where it is something else
     */
    static InetSocketAddress parse(String endpoint) {
        int colon = endpoint.lastIndexOf(':');
        String host = endpoint.substring(0, Math.max(colon, 0));
        if (host.startsWith("[") && host.endsWith("]")) {
            host = host.substring(1, host.length() - 1);
        }
        try {
            int port = Integer.parseInt(endpoint.substring(colon + 1));
            if (host.isEmpty() || port <= 0) {
                throw new IllegalArgumentException("no host or no port");
            }
            return InetSocketAddress.createUnresolved(host, port);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException(ChercheSettings.ENDPOINTS.getKey() + ": [" + endpoint + "] is not host:port", e);
        }
    }

    @Override
    protected boolean isAvailable() {
        return true;
    }

    @Override
    protected int priority() {
        return 5;
    }

    @Override
    public String getDefaultScheme() {
        return SCHEME;
    }

    @Override
    public Collection<Class<? extends SocketAddress>> getProducedSocketAddressTypes() {
        return Set.of(InetSocketAddress.class);
    }

    @Override
    public NameResolver newNameResolver(URI target, NameResolver.Args args) {
        if (!SCHEME.equals(target.getScheme())) {
            return null;
        }
        List<InetSocketAddress> endpoints = new ArrayList<>();
        for (String endpoint : target.getPath().substring(1).split(",")) {
            endpoints.add(parse(endpoint));
        }
        return new Resolver(endpoints, args.getOffloadExecutor());
    }

    private static final class Resolver extends NameResolver {

        private final List<InetSocketAddress> endpoints;
        private final Executor executor;
        private Listener2 listener;

        Resolver(List<InetSocketAddress> endpoints, Executor executor) {
            this.endpoints = endpoints;
            this.executor = executor;
        }

        @Override
        public String getServiceAuthority() {
            return authority(endpoints.get(0));
        }

        @Override
        public void start(Listener2 newListener) {
            listener = newListener;
            refresh();
        }

        @Override
        public void refresh() {
            executor.execute(this::resolve);
        }

        @Override
        public void shutdown() {}

        /** Skips hosts that do not resolve; fails only if none does. */
        private void resolve() {
            List<EquivalentAddressGroup> groups = new ArrayList<>();
            UnknownHostException unknown = null;
            for (InetSocketAddress endpoint : endpoints) {
                try {
                    groups.addAll(addresses(endpoint));
                } catch (UnknownHostException e) {
                    unknown = e;
                }
            }
            String reason = "no sidecar address can be resolved: check " + ChercheSettings.ENDPOINTS.getKey();
            StatusOr<List<EquivalentAddressGroup>> found = groups.isEmpty()
                ? StatusOr.fromStatus(Status.UNAVAILABLE.withDescription(reason).withCause(unknown))
                : StatusOr.fromValue(groups);
            listener.onResult(ResolutionResult.newBuilder().setAddressesOrError(found).build());
        }

        private static List<EquivalentAddressGroup> addresses(InetSocketAddress endpoint) throws UnknownHostException {
            Attributes attributes = Attributes.newBuilder()
                .set(EquivalentAddressGroup.ATTR_AUTHORITY_OVERRIDE, authority(endpoint))
                .build();
            List<EquivalentAddressGroup> groups = new ArrayList<>();
            for (InetAddress address : InetAddress.getAllByName(endpoint.getHostString())) {
                groups.add(new EquivalentAddressGroup(new InetSocketAddress(address, endpoint.getPort()), attributes));
            }
            return groups;
        }

        private static String authority(InetSocketAddress endpoint) {
            String host = endpoint.getHostString();
            return (host.contains(":") ? "[" + host + "]" : host) + ":" + endpoint.getPort();
        }
    }
}
