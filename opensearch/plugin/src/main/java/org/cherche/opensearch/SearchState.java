package org.cherche.opensearch;

import cherche.v1.Plugin.QueryEmbeddings;
import java.util.LinkedHashMap;
import java.util.Map;

/** What the request side of a search leaves for its response side. */
final class SearchState {

    static final String ATTRIBUTE = "cherche";

    final Options options;
    final IndexSetup setup;
    /** The page the user asked for. */
    final int from;
    final int size;
    /** Hits to rerank; 0 for none. */
    int window;
    QueryEmbeddings embeddings;
    /** Held of the heap's budget until the page is done. */
    Budget.Hold hold = Budget.NOTHING;
    /** How the request went: REWRITTEN, or why it is as the user wrote it. */
    String queryStatus;
    String queryReason = "";
    /** Why nothing is reranked, where that is known already. */
    String rerankStatus;
    String rerankReason = "";
    int terms;
    boolean shrunk;
    /** Whether the shards score the window, rather than a sidecar. */
    boolean onShards;
    boolean shadow;

    SearchState(Options options, IndexSetup setup, int from, int size) {
        this.options = options;
        this.setup = setup;
        this.from = from;
        this.size = size;
    }

    SearchState untouched(String status, String reason) {
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

    /** The part of ext.cherche that tells of the query. */
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
