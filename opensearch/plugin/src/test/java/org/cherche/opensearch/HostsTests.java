package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.opensearch.common.settings.Settings;

class HostsTests {

    private static Sidecar.Address address(boolean tls, String token, String... endpoints) {
        return new Sidecar.Address(List.of(endpoints), tls, null, token);
    }

    private static String refused(Hosts hosts, Sidecar.Address address) {
        return assertThrows(IllegalArgumentException.class, () -> hosts.check(address)).getMessage();
    }

    @Test
    void withoutAListTheHostsAreThoseOfTheNodesOwnEndpoints() {
        Settings settings = Settings.builder().putList("plugins.cherche.endpoints", "one:1", "[2001:db8::1]:2").build();
        assertEquals(new Hosts(Set.of("one", "2001:db8::1"), false), Hosts.of(settings));
        Settings listed = Settings.builder().put(settings).putList("plugins.cherche.hosts", "two").build();
        assertEquals(Set.of("two"), Hosts.of(listed).names());
    }

    @Test
    void endpointsStayAmongTheHosts() {
        Hosts hosts = new Hosts(Set.of("one"), false);
        assertDoesNotThrow(() -> hosts.check(address(false, "", "one:1", "one:2")));
        String message = refused(hosts, address(true, "t", "one:1", "elsewhere:1"));
        assertTrue(message.contains("[elsewhere:1] is not one of [one]"), message);
        assertTrue(message.contains("plugins.cherche.hosts in opensearch.yml"), message);
    }

    @Test
    void thisMachineIsAlwaysAllowed() {
        Hosts hosts = new Hosts(Set.of(), false);
        for (String endpoint : List.of("127.0.0.1:1", "localhost:1", "[::1]:1", "127.9.9.9:1")) {
            assertDoesNotThrow(() -> hosts.check(address(false, "t", endpoint)), endpoint);
        }
        for (String endpoint : List.of("localhost.example.org:1", "0.0.0.0:1", "10.0.0.1:1", "127.0.0.1.nip.io:1")) {
            refused(hosts, address(false, "t", endpoint));
        }
    }

    @Test
    void aTokenTravelsEncryptedUnlessTheNodeSaysOtherwise() {
        Sidecar.Address plain = address(false, "t0ken", "one:1");
        String message = refused(new Hosts(Set.of("one"), false), plain);
        assertTrue(message.contains("plugins.cherche.tls.enabled"), message);
        assertTrue(!message.contains("t0ken"), message);
        assertDoesNotThrow(() -> new Hosts(Set.of("one"), true).check(plain));
        assertDoesNotThrow(() -> new Hosts(Set.of("one"), false).check(address(true, "t0ken", "one:1")));
    }

    @Test
    void whatIsNoEndpointIsNamed() {
        assertTrue(refused(new Hosts(Set.of(), false), address(false, "", "no port")).contains("is not host:port"));
    }
}
