package org.cherche.opensearch;

import cherche.v1.Plugin.PipelineHit;
import cherche.v1.Plugin.RerankHitsRequest;
import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankOutcome;
import com.google.protobuf.ByteString;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.search.SearchHit;

/** Reorders the window of a search that was enlarged for it, and cuts the user's page out of it. Fails open. */
final class Reranker {

    static final String FIRST_STAGE = "cherche_first_stage";
    static final String MAXSIM = "cherche_maxsim";

    /** How one pipeline reranks; a null deadline stands for the cluster's setting. */
    record Settings(TimeValue deadline, boolean failClosed, boolean keepScores) {}

    private final Node node;

    Reranker(Node node) {
        this.node = node;
    }

    void rerank(SearchResponse response, SearchState state, Settings settings, ActionListener<SearchResponse> then) {
        SearchHit[] hits = response.getHits().getHits();
        List<PipelineHit> window = takeWindow(hits, state);
        if (state.window == 0) {
            if (SearchState.OUTSIDE_WINDOW.equals(state.rerankStatus)) {
                HitScores.below(hits, 0, settings.keepScores());
            }
            finish(response, state, null, Map.of(), settings, then);
        } else if (hits.length == 0) {
            finish(response, state.notReranked("APPLIED", "there were no hits"), null, Map.of(), settings, then);
        } else if (state.onShards) {
            double weight = state.options.weight() == null ? state.setup.weight() : state.options.weight();
            apply(response, state, ShardScores.rank(hits, Math.min(state.window, hits.length), weight), settings, then);
        } else {
            rerankOnSidecar(response, window, state, settings, then);
        }
    }

    private void rerankOnSidecar(
        SearchResponse response,
        List<PipelineHit> window,
        SearchState state,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        var request = RerankHitsRequest.newBuilder()
            .setMetaJson(state.setup.json())
            .setQuery(state.embeddings)
            .addAllHits(window);
        if (state.options.weight() != null) {
            request.setWeight(state.options.weight());
        }
        TimeValue deadline = settings.deadline() == null ? node.settings().rerankDeadline() : settings.deadline();
        long started = System.nanoTime();
        node.sidecar().call(stub -> Sidecar.small(stub).rerankHits(request.build()), deadline, ActionListener.wrap(reranked -> {
            node.stats().addMillisSince(started, Count.RERANK_CALL_MILLIS);
            apply(response, state, reranked, settings, then);
        }, error -> {
            state.notReranked(SearchState.failure(error), SearchState.reason(error));
            finish(response, state, null, Map.of(), settings, then);
        }));
    }

    private void apply(
        SearchResponse response,
        SearchState state,
        RerankHitsResponse reranked,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        SearchHit[] hits = response.getHits().getHits();
        int window = Math.min(state.window, hits.length);
        int[] order = order(reranked, window, hits.length);
        RerankOutcome outcome = reranked.getOutcome();
        if (order == null || isReordered(outcome) && !hasNumbers(reranked)) {
            String what = order == null ? "other hits than it received" : "scores that are no numbers";
            state.notReranked("UNAVAILABLE", "the sidecar returned " + what);
            finish(response, state, null, Map.of(), settings, then);
            return;
        }
        if (isReordered(outcome)) {
            HitScores.reranked(hits, reranked, settings.keepScores());
        }
        state.rerankStatus = SearchState.name(outcome.getStatus());
        state.rerankReason = outcome.getReason();
        Map<String, Object> counts = new LinkedHashMap<>();
        counts.put("rerank_window", outcome.getWindow());
        counts.put("reranked", outcome.getReranked());
        counts.put("codes_missing", outcome.getCodesMissing());
        counts.put("rerank_weight", outcome.getWeight());
        finish(response, state, order, counts, settings, then);
    }

    /** The window for the sidecar. Removes the codes from every hit: clients never see them. */
    private List<PipelineHit> takeWindow(SearchHit[] hits, SearchState state) {
        List<PipelineHit> window = new ArrayList<>();
        if (state.embeddings == null || state.onShards) {
            return window;
        }
        long bytes = 0;
        for (SearchHit hit : hits) {
            ByteString codes = StoredParts.bytes(ShardScores.take(hit, IndexSetup.CODES));
            if (window.size() < state.window) {
                bytes += codes.size();
                window.add(PipelineHit.newBuilder().setId(hit.getId()).setScore(HitScores.of(hit)).setCodes(codes).build());
            }
        }
        node.budget().observe(bytes, window.size());
        return window;
    }

    /** Whether the window has fused scores, rather than those of the first stage. */
    private static boolean isReordered(RerankOutcome outcome) {
        return switch (outcome.getStatus()) {
            case RERANK_STATUS_APPLIED, RERANK_STATUS_PARTIAL -> true;
            default -> false;
        };
    }

    private static boolean hasNumbers(RerankHitsResponse reranked) {
        return reranked.getHitsList().stream().allMatch(hit -> Double.isFinite(hit.getScore()) && Double.isFinite(hit.getMaxsim()));
    }

    /**
     * Positions of the hits in their new order, with the hits below the window last; null where the response is not a
     * permutation of the window.
     */
    static int[] order(RerankHitsResponse reranked, int window, int hits) {
        if (reranked.getHitsCount() != window) {
            return null;
        }
        int[] order = new int[hits];
        boolean[] seen = new boolean[window];
        for (int rank = 0; rank < window; rank++) {
            int index = reranked.getHits(rank).getIndex();
            if (index < 0 || index >= window || seen[index]) {
                return null;
            }
            seen[index] = true;
            order[rank] = index;
        }
        for (int below = window; below < hits; below++) {
            order[below] = below;
        }
        return order;
    }

    private void finish(
        SearchResponse response,
        SearchState state,
        int[] order,
        Map<String, Object> counts,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        state.reservation.release();
        node.stats().one(order == null ? Count.PAGES_NOT_RERANKED : Count.PAGES_RERANKED);
        boolean isOutage = "DEADLINE".equals(state.rerankStatus) || "UNAVAILABLE".equals(state.rerankStatus);
        boolean isRefused = SearchState.REFUSED.equals(state.rerankStatus);
        if (settings.failClosed() && (isOutage || isRefused)) {
            String why = isRefused && !state.queryReason.isEmpty() ? state.queryReason : state.rerankReason;
            String message = "cherche_rerank: " + state.rerankStatus + ": " + why;
            then.onFailure(new OpenSearchStatusException(message, isOutage ? RestStatus.SERVICE_UNAVAILABLE : RestStatus.BAD_REQUEST));
            return;
        }
        Map<String, Object> values = state.toMap();
        values.put("rerank_status", state.rerankStatus);
        String reason = Stream.of(state.rerankReason, state.windowCut).filter(said -> !said.isEmpty()).collect(Collectors.joining("; "));
        if (!reason.isEmpty()) {
            values.put("rerank_reason", reason);
        }
        if (state.shrunk || !state.windowCut.isEmpty()) {
            values.put("rerank_window_shrunk", true);
        }
        values.putAll(counts);
        then.onResponse(Pages.cut(response, order, state, new ChercheExt(values)));
    }
}
