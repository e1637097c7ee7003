package org.cherche.opensearch;

import cherche.v1.Plugin.QueryEmbeddings;
import cherche.v1.Search.RerankStatus;
import io.grpc.Status;
import java.util.LinkedHashMap;
import java.util.Map;

/** State that the request processor of a search passes to the response processor. */
final class SearchState {

    static final String ATTRIBUTE = "cherche";

    final Options options;
    final IndexSetup setup;
    /** The user's page. */
    final int from;
    final int size;
    /** Number of hits to rerank; 0 for none. */
    int window;
    QueryEmbeddings embeddings;
    /** Part of the heap budget, until the page is complete. */
    Budget.Reservation reservation = Budget.NONE;
    /** REWRITTEN, or why the request is as the user wrote it; null until that is known. */
    String queryStatus;
    String queryReason = "";
    /** Why nothing is reranked; null while a rerank is possible. */
    String rerankStatus;
    String rerankReason = "";
    int terms;
    boolean shrunk;
    /** Whether the shards compute MaxSim, rather than a sidecar. */
    boolean onShards;
    /** Whether this search is repeated in shadow mode. */
    boolean shadow;

    SearchState(Options options, IndexSetup setup, int from, int size) {
        this.options = options;
        this.setup = setup;
        this.from = from;
        this.size = size;
    }

    /** A search that is neither rewritten nor reranked, for one reason. */
    SearchState leftAsWritten(String status, String reason) {
        return notRewritten(status, reason).notReranked(status, reason);
    }

    SearchState notRewritten(String status, String reason) {
        queryStatus = status;
        queryReason = reason;
        return this;
    }

    SearchState notReranked(String status, String reason) {
        rerankStatus = status;
        rerankReason = reason;
        window = 0;
        return this;
    }

    /** Status DEADLINE or UNAVAILABLE of a failed call. */
    static String outage(Exception error) {
        return Status.fromThrowable(error).getCode() == Status.Code.DEADLINE_EXCEEDED ? "DEADLINE" : "UNAVAILABLE";
    }

    /** The description that the sidecar sent with an error, else the error's message. */
    static String reason(Exception error) {
        String description = Status.fromThrowable(error).getDescription();
        return description == null ? String.valueOf(error.getMessage()) : description;
    }

    /** The status as {@code ext.cherche} shows it. */
    static String name(RerankStatus status) {
        return status.name().substring("RERANK_STATUS_".length());
    }

    /** The part of {@code ext.cherche} about the query. */
    Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("query_status", queryStatus);
        if (!queryReason.isEmpty()) {
            map.put("query_reason", queryReason);
        }
        map.put("query_terms", terms);
        return map;
    }
}
