package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Common.TermWeightsBatch;
import io.grpc.Status;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.cherche.opensearch.EncodeProcessor.OnUnavailable;
import org.junit.jupiter.api.Test;
import org.opensearch.OpenSearchParseException;
import org.opensearch.core.rest.RestStatus;

class EncodeProcessorTests {

    @Test
    void readsTheColumnsOfOneText() {
        var batch = TermWeightsBatch.newBuilder()
            .addAllOffsets(List.of(0, 2, 2, 3))
            .addAllFeatures(List.of("a", "b%2E"))
            .addAllFeatureIndex(List.of(1, 0, 0))
            .addAllWeights(List.of(0.5f, 2f, 1f))
            .build();
        assertEquals(Map.of("a", 2f, "b%2E", 0.5f), EncodeProcessor.features(batch, 0));
        assertEquals(Map.of(), EncodeProcessor.features(batch, 1));
        assertEquals(Map.of("a", 1f), EncodeProcessor.features(batch, 2));
    }

    @Test
    void statusesAreThoseThatBulkClientsRetryRightly() {
        assertEquals(RestStatus.TOO_MANY_REQUESTS, EncodeProcessor.restStatus(Status.Code.RESOURCE_EXHAUSTED));
        assertEquals(RestStatus.SERVICE_UNAVAILABLE, EncodeProcessor.restStatus(Status.Code.UNAVAILABLE));
        assertEquals(RestStatus.GATEWAY_TIMEOUT, EncodeProcessor.restStatus(Status.Code.DEADLINE_EXCEEDED));
        assertEquals(RestStatus.BAD_REQUEST, EncodeProcessor.restStatus(Status.Code.INVALID_ARGUMENT));
    }

    @Test
    void onlyWhatMaySucceedLaterIsDeferred() {
        assertTrue(Sidecar.isTransient(Status.Code.UNAVAILABLE));
        assertTrue(Sidecar.isTransient(Status.Code.RESOURCE_EXHAUSTED));
        assertFalse(Sidecar.isTransient(Status.Code.INVALID_ARGUMENT));
        assertFalse(Sidecar.isTransient(Status.Code.UNAUTHENTICATED));
        assertFalse(Sidecar.isOutage(Status.Code.RESOURCE_EXHAUSTED));
    }

    @Test
    void readsItsOptions() {
        assertEquals(OnUnavailable.FAIL, OnUnavailable.read("t", new HashMap<>()));
        assertEquals(OnUnavailable.DEFER, OnUnavailable.read("t", new HashMap<>(Map.of("on_unavailable", "defer"))));
        Map<String, Object> wrong = new HashMap<>(Map.of("on_unavailable", "hope"));
        assertThrows(OpenSearchParseException.class, () -> OnUnavailable.read("t", wrong));
    }

    @Test
    void readsHowAnIndexWasSetUp() {
        Map<String, Object> meta = Map.of(
            "fields",
            List.of(Map.of("name", "title"), Map.of("name", "body.text")),
            "rerank",
            Map.of("weight", 0.5, "window", 80),
            "fingerprint",
            Map.of("sparse", "s", "codes", "")
        );
        IndexSetup setup = IndexSetup.parse(meta);
        assertEquals(List.of("title", "body.text"), setup.fields());
        assertEquals(80, setup.window());
        assertFalse(setup.hasCodes());
        assertTrue(setup.json().toStringUtf8().contains("\"window\":80"));
    }
}
