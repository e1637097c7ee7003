package org.cherche.opensearch;

import cherche.v1.Plugin.PipelineHit;
import cherche.v1.Plugin.RerankHitsRequest;
import cherche.v1.Plugin.RerankHitsResponse;
import cherche.v1.Plugin.RerankedHit;
import cherche.v1.Search.RerankOutcome;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.OpenSearchStatusException;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.search.SearchHit;

/** Reorders the window of a search that was widened for it, and cuts the user's page out of it. Fails open. */
final class Reranker {

    static final String FIRST_STAGE = "cherche_first_stage";
    static final String MAXSIM = "cherche_maxsim";

    /** How one pipeline reranks; a null deadline is the cluster's setting. */
    record Settings(TimeValue deadline, boolean failClosed, boolean keepScores) {}

    private final Node node;

    Reranker(Node node) {
        this.node = node;
    }

    void rerank(SearchResponse response, SearchState state, Settings settings, ActionListener<SearchResponse> then) {
        SearchHit[] hits = response.getHits().getHits();
        if (state.onShards && state.window > 0) {
            rerankOnShards(response, state, settings, then);
            return;
        }
        List<PipelineHit> window = window(hits, state);
        if (state.window == 0) {
            finish(response, state, null, Map.of(), settings, then);
            return;
        }
        if (hits.length == 0) {
            finish(response, state.notReranked("APPLIED", "there were no hits"), null, Map.of(), settings, then);
            return;
        }
        var request = RerankHitsRequest.newBuilder()
            .setMetaJson(state.setup.json())
            .setQuery(state.embeddings)
            .addAllHits(window);
        if (state.options.weight() != null) {
            request.setWeight(state.options.weight());
        }
        TimeValue deadline = settings.deadline() == null ? node.settings().rerankDeadline() : settings.deadline();
        long started = System.nanoTime();
        node.sidecar().call(stub -> stub.rerankHits(request.build()), deadline, ActionListener.wrap(answer -> {
            node.stats().add(Count.RERANK_CALL_MILLIS, (System.nanoTime() - started) / 1_000_000);
            apply(response, state, answer, settings, then);
        }, error -> {
            Status status = Status.fromThrowable(error);
            state.notReranked(QueryRewriter.outage(status), String.valueOf(status.getDescription()));
            finish(response, state, null, Map.of(), settings, then);
        }));
    }

    private void rerankOnShards(
        SearchResponse response,
        SearchState state,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        SearchHit[] hits = response.getHits().getHits();
        if (hits.length == 0) {
            finish(response, state.notReranked("APPLIED", "there were no hits"), null, Map.of(), settings, then);
            return;
        }
        double weight = state.options.weight() == null ? state.setup.weight() : state.options.weight();
        apply(response, state, ShardScores.rank(hits, Math.min(state.window, hits.length), weight), settings, then);
    }

    private void apply(
        SearchResponse response,
        SearchState state,
        RerankHitsResponse answer,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        SearchHit[] hits = response.getHits().getHits();
        int window = Math.min(state.window, hits.length);
        int[] order = order(answer, window, hits.length);
        if (order == null) {
            state.notReranked("UNAVAILABLE", "the sidecar answered other hits than it was asked about");
            finish(response, state, null, Map.of(), settings, then);
            return;
        }
        for (RerankedHit reranked : answer.getHitsList()) {
            score(hits[reranked.getIndex()], reranked, settings.keepScores());
        }
        RerankOutcome outcome = answer.getOutcome();
        state.rerankStatus = outcome.getStatus().name().substring("RERANK_STATUS_".length());
        state.rerankReason = outcome.getReason();
        Map<String, Object> counts = new LinkedHashMap<>();
        counts.put("rerank_window", outcome.getWindow());
        counts.put("reranked", outcome.getReranked());
        counts.put("codes_missing", outcome.getCodesMissing());
        counts.put("rerank_weight", outcome.getWeight());
        finish(response, state, order, counts, settings, then);
    }

    /** The window for the sidecar; every hit loses its codes, which are never shown. */
    private List<PipelineHit> window(SearchHit[] hits, SearchState state) {
        List<PipelineHit> window = new ArrayList<>();
        long bytes = 0;
        for (SearchHit hit : hits) {
            if (state.embeddings == null) {
                break;
            }
            ByteString codes = StoredParts.bytes(ShardScores.take(hit, IndexSetup.CODES));
            if (window.size() < state.window) {
                bytes += codes.size();
                window.add(PipelineHit.newBuilder().setId(hit.getId()).setScore(score(hit)).setCodes(codes).build());
            }
        }
        node.budget().observe(bytes, window.size());
        return window;
    }

    /** The score as JSON shows it: what every other client of the cluster ranks by. */
    static double score(SearchHit hit) {
        return Double.parseDouble(Float.toString(hit.getScore()));
    }

    /** Positions of the hits in their new order, what lies below the window last; null unless each is there once. */
    static int[] order(RerankHitsResponse answer, int window, int hits) {
        if (answer.getHitsCount() != window) {
            return null;
        }
        int[] order = new int[hits];
        boolean[] seen = new boolean[window];
        for (int rank = 0; rank < window; rank++) {
            int index = answer.getHits(rank).getIndex();
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

    private static void score(SearchHit hit, RerankedHit reranked, boolean keep) {
        if (keep) {
            hit.setDocumentField(FIRST_STAGE, new DocumentField(FIRST_STAGE, List.of(hit.getScore())));
            if (reranked.hasMaxsim()) {
                hit.setDocumentField(MAXSIM, new DocumentField(MAXSIM, List.of((float) reranked.getMaxsim())));
            }
        }
        hit.score((float) reranked.getScore());
    }

    private void finish(
        SearchResponse response,
        SearchState state,
        int[] order,
        Map<String, Object> counts,
        Settings settings,
        ActionListener<SearchResponse> then
    ) {
        state.hold.release();
        node.stats().one(order == null ? Count.PAGES_NOT_RERANKED : Count.PAGES_RERANKED);
        boolean isOutage = "DEADLINE".equals(state.rerankStatus) || "UNAVAILABLE".equals(state.rerankStatus);
        if (settings.failClosed() && isOutage) {
            String reason = "cherche_rerank: " + state.rerankStatus + ": " + state.rerankReason;
            then.onFailure(new OpenSearchStatusException(reason, RestStatus.SERVICE_UNAVAILABLE));
            return;
        }
        Map<String, Object> told = state.toMap();
        told.put("rerank_status", state.rerankStatus);
        if (!state.rerankReason.isEmpty()) {
            told.put("rerank_reason", state.rerankReason);
        }
        if (state.shrunk) {
            told.put("rerank_window_shrunk", true);
        }
        told.putAll(counts);
        then.onResponse(Pages.cut(response, order, state, new ChercheExt(told)));
    }
}
