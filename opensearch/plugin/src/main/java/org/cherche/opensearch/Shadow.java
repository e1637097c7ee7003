package org.cherche.opensearch;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.cherche.opensearch.Options.Mode;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.hash.MessageDigests;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.action.ActionListener;
import org.opensearch.search.SearchHit;
import org.opensearch.transport.client.Client;

/** Repeats a search as a hybrid, reranked one and logs both orders, without delaying the user's page. */
final class Shadow {

    private static final Logger LOG = LogManager.getLogger(Shadow.class);
    private static final int KEY_DIGITS = 16;
    private static final Pattern WORDS = Pattern.compile("\\s+", Pattern.UNICODE_CHARACTER_CLASS);

    private final Node node;
    private final Client client;

    Shadow(Node node, Client client) {
        this.node = node;
        this.client = client;
    }

    void compare(SearchRequest request, SearchResponse shown, Options options, Reranker.Settings settings) {
        var copy = new SearchRequest(request).pipeline("_none");
        // a pipeline in the request itself must not run again
        copy.source(request.source().shallowCopy().searchPipelineSource(null).pipeline(null));
        List<String> before = ids(shown);
        long took = shown.getTook().millis();
        long started = System.nanoTime();
        var indices = String.join(",", request.indices());
        var failOpen = new Reranker.Settings(settings.deadline(), false, false);
        node.stats().one(Count.SHADOW_SEARCHES);
        node.rewriter().rewrite(copy, on(options), ActionListener.wrap(
            state -> client.search(copy, ActionListener.wrap(
                found -> node.reranker().rerank(found, state, failOpen, ActionListener.wrap(
                    page -> LOG.info("shadow {}", json(report(new Searched(indices, key(state)), before, took, page, (System.nanoTime() - started) / 1_000_000))),
                    Shadow::failed
                )),
                error -> {
                    state.reservation.release();
                    failed(error);
                }
            )),
            Shadow::failed
        ));
    }

    /** Indices as the request names them, and the query's key. */
    record Searched(String indices, String query) {}

    /** Both orders, their overlap and latency; ids, and of the query its key: no text. */
    static Map<String, Object> report(Searched searched, List<String> before, long took, SearchResponse page, long millis) {
        List<String> after = ids(page);
        Map<String, Object> report = new LinkedHashMap<>();
        report.put("index", searched.indices);
        report.put("query", searched.query);
        report.put("shown", before);
        report.put("hybrid", after);
        report.put("overlap", overlap(before, after));
        report.put("shown_ms", took);
        report.put("hybrid_ms", millis);
        ChercheExt ext = ChercheExt.in(page.getInternalResponse().getSearchExtBuilders());
        report.put("rerank_status", ext == null ? "" : ext.values().get("rerank_status"));
        return report;
    }

    /**
     * The query as the log names it: the first half of the SHA-256 of its words in lower case, hexadecimal.
     * {@code cherche_models/evaluate/shadow.py} joins judgements by it; {@code tests/contract/shadow.json} has vectors.
     */
    static String key(String text) {
        String words = String.join(" ", WORDS.splitAsStream(text.toLowerCase(Locale.ROOT)).filter(word -> !word.isEmpty()).toList());
        byte[] digest = MessageDigests.sha256().digest(words.getBytes(StandardCharsets.UTF_8));
        return MessageDigests.toHexString(digest).substring(0, KEY_DIGITS);
    }

    private static String key(SearchState state) {
        return state.membership == null || state.membership.text().isEmpty() ? "" : key(state.membership.text());
    }

    private static String json(Map<String, Object> report) throws IOException {
        try (var builder = JsonXContent.contentBuilder()) {
            return builder.map(report).toString();
        }
    }

    /** Number of common ids over the length of the longer list; 1 for two empty lists. */
    static double overlap(List<String> one, List<String> other) {
        Set<String> shared = new HashSet<>(one);
        shared.retainAll(other);
        int longer = Math.max(one.size(), other.size());
        return longer == 0 ? 1.0 : (double) shared.size() / longer;
    }

    private static Options on(Options options) {
        return options.override(new HashMap<>(Map.of("mode", Mode.ON.name())));
    }

    private static List<String> ids(SearchResponse response) {
        return Stream.of(response.getHits().getHits()).map(SearchHit::getId).toList();
    }

    private static void failed(Exception error) {
        LOG.warn("a shadow search failed; the user's search is not affected", error);
    }
}
