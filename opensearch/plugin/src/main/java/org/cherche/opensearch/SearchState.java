package org.cherche.opensearch;

import cherche.v1.Plugin.QueryEmbeddings;
import cherche.v1.Search.RerankStatus;
import io.grpc.Status;
import java.util.LinkedHashMap;
import java.util.Map;

/** State that the request processor of a search passes to the response processor. */
final class SearchState {

    static final String ATTRIBUTE = "cherche";
    static final String REWRITTEN = "REWRITTEN";
    /** The page starts after the window: all its hits stand below those that were reranked. */
    static final String OUTSIDE_WINDOW = "OUTSIDE_WINDOW";
    /** The sidecar refuses the search itself, for example for a text beyond its limit. */
    static final String REFUSED = "REFUSED";

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
    /** Which clause decides the hits; null where no query was to be rewritten. */
    FirstStage.Membership membership;
    /** REWRITTEN, or why the request is as the user wrote it; null until that is known. */
    String queryStatus;
    String queryReason = "";
    /** Why nothing is reranked; null while a rerank is possible. */
    String rerankStatus;
    String rerankReason = "";
    int terms;
    /** Of them those that found candidates; 0 where all found hits. */
    int firstTerms;
    boolean shrunk;
    /** The least {@code index.max_result_window} of the indices. */
    int maxWindow = Integer.MAX_VALUE;
    /** Why the window is smaller than it was to be; empty where it is not. */
    String windowCut = "";
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

    /** Status of a failed call: DEADLINE, REFUSED where the same call can never succeed, else UNAVAILABLE. */
    static String failure(Exception error) {
        return switch (Status.fromThrowable(error).getCode()) {
            case DEADLINE_EXCEEDED -> "DEADLINE";
            case INVALID_ARGUMENT -> REFUSED;
            default -> "UNAVAILABLE";
        };
    }

    /** The description that the sidecar sent with an error, else the error's message, else its kind. */
    static String reason(Exception error) {
        Status status = Status.fromThrowable(error);
        if (status.getDescription() != null) {
            return status.getDescription();
        }
        return error.getMessage() == null ? error.getClass().getSimpleName() : error.getMessage();
    }

    /** The status as {@code ext.cherche} shows it. */
    static String name(RerankStatus status) {
        if (status == RerankStatus.UNRECOGNIZED) {
            return "UNKNOWN"; // of a later release
        }
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
        if (firstTerms > 0) {
            map.put("first_terms", firstTerms);
        }
        if (membership != null) {
            // Without a sparse clause the user's query decides, whatever was planned.
            boolean isAsPlanned = REWRITTEN.equals(queryStatus) || !membership.isRewritten();
            map.put("match_set", isAsPlanned ? membership.matchSet() : FirstStage.LEXICAL);
            map.put("match_set_reason", isAsPlanned ? membership.reason() : "no term weights were added");
        }
        return map;
    }
}
