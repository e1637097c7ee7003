package org.cherche.opensearch;

import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.opensearch.common.network.InetAddresses;
import org.opensearch.common.settings.Settings;

/**
 * Where texts and the token may go. Read from {@code opensearch.yml} alone: whoever may change cluster settings must not
 * be able to send them elsewhere.
 *
 * @param names hosts that {@code endpoints} may name beside this machine
 * @param insecure whether the token may travel in plain text
 */
record Hosts(Set<String> names, boolean insecure) {

    /** The hosts of the setting; without it those that the node's own endpoints name. */
    static Hosts of(Settings settings) {
        Set<String> names = new TreeSet<>(ChercheSettings.HOSTS.get(settings));
        if (names.isEmpty()) {
            ChercheSettings.ENDPOINTS.get(settings).forEach(each -> names.add(Endpoints.parse(each).getHostString()));
        }
        return new Hosts(Set.copyOf(names), ChercheSettings.INSECURE.get(settings));
    }

    /**
     * Refuses an address that texts or the token must not go to.
     *
     * @throws IllegalArgumentException naming the endpoint and what would allow it
     */
    void check(Sidecar.Address address) {
        for (String endpoint : address.endpoints()) {
            String host = Endpoints.parse(endpoint).getHostString();
            if (isThisMachine(host)) {
                continue;
            }
            if (!names.contains(host)) {
                throw new IllegalArgumentException(
                    ChercheSettings.ENDPOINTS.getKey() + ": [" + endpoint + "] is not one of " + new TreeSet<>(names)
                        + ": add its host to " + ChercheSettings.HOSTS.getKey() + " in opensearch.yml"
                );
            }
            if (!address.token().isEmpty() && !address.tls() && !insecure) {
                throw new IllegalArgumentException(
                    ChercheSettings.ENDPOINTS.getKey() + ": the token would go to [" + endpoint + "] in plain text: set "
                        + ChercheSettings.TLS.getKey() + ", or " + ChercheSettings.INSECURE.getKey() + ", in opensearch.yml"
                );
            }
        }
    }

    private static boolean isThisMachine(String host) {
        return host.equals("localhost") || InetAddresses.isInetAddress(host) && InetAddresses.forString(host).isLoopbackAddress();
    }
}
