package org.cherche.opensearch;

import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Search.QueryMode;
import cherche.v1.Search.RerankStatus;
import cherche.v1.Search.SparseStatus;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.lucene.search.IndexSearcher;
import org.cherche.opensearch.Options.Mode;
import org.cherche.opensearch.Options.Scorer;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.cache.Cache;
import org.opensearch.common.cache.CacheBuilder;
import org.opensearch.common.xcontent.LoggingDeprecationHandler;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.xcontent.NamedXContentRegistry;
import org.opensearch.index.query.AbstractQueryBuilder;
import org.opensearch.index.query.QueryBuilder;
import org.opensearch.search.SearchExtBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;
import org.opensearch.search.rescore.QueryRescorerBuilder;

/** Makes a search hybrid and requests what its rerank needs. Any failure leaves the search as the user wrote it. */
final class QueryRewriter {

    private static final int DEFAULT_SIZE = 10;
    /** Clauses of the cluster's limit that are left for the user's query. */
    private static final int RESERVED_CLAUSES = 128;
    private static final String AS_WRITTEN = "AS_WRITTEN";
    /** Bytes that a cached answer counts at least, and of which the cache holds as many as it has entries. */
    private static final long ENTRY_BYTES = 32 << 10;

    private record Key(
        IndexSetup setup,
        String text,
        QueryMode mode,
        int terms,
        Double boost,
        boolean embeddings,
        int clauses
    ) {}

    private final Node node;
    private final NamedXContentRegistry xContent;
    private final Cache<Key, PrepareQueryResponse> cache;
    private final QueryTables tables;

    QueryRewriter(Node node, NamedXContentRegistry xContent, int entries) {
        this.node = node;
        this.xContent = xContent;
        this.tables = new QueryTables(node);
        this.cache = CacheBuilder.<Key, PrepareQueryResponse>builder()
            .weigher((key, answer) -> Math.max(ENTRY_BYTES, answer.getSerializedSize()))
            .setMaximumWeight(entries * ENTRY_BYTES)
            .build();
    }

    /**
     * Rewrites a request in place, or leaves it unchanged.
     *
     * @param then receives the state for the response side; fails only for an invalid request
     */
    void rewrite(SearchRequest request, Options options, ActionListener<SearchState> then) {
        SearchSourceBuilder source = request.source();
        SearchState state = state(request, options);
        if (state.queryStatus != null) {
            node.stats().one(Count.QUERIES_UNTOUCHED);
            then.onResponse(state);
            return;
        }
        planRerank(state, source);
        if (!state.membership.isRewritten() && state.window == 0) {
            node.stats().one(Count.QUERIES_UNTOUCHED);
            then.onResponse(state.notRewritten(AS_WRITTEN, state.membership.reason()));
            return;
        }
        var key = new Key(
            state.setup,
            state.membership.text(),
            options.queryMode(),
            options.queryTerms(),
            options.sparseBoost(),
            state.window > 0,
            Math.max(1, IndexSearcher.getMaxClauseCount() - RESERVED_CLAUSES)
        );
        PrepareQueryResponse cached = cache.get(key);
        if (cached != null) {
            node.stats().one(Count.QUERY_CACHE_HITS);
            apply(cached, state, source);
            then.onResponse(state);
            return;
        }
        if (key.mode == QueryMode.QUERY_MODE_DOC_ONLY && !key.embeddings) {
            tables.get(key.setup, ActionListener.wrap(table -> {
                if (table == null) {
                    prepare(key, state, source, then);
                } else {
                    finish(table.prepare(key.text, key.boost, key.clauses), key, state, source, then);
                }
            }, error -> fail(error, state, then)));
            return;
        }
        prepare(key, state, source, then);
    }

    /** Calls the sidecar. */
    private void prepare(Key key, SearchState state, SearchSourceBuilder source, ActionListener<SearchState> then) {
        long started = System.nanoTime();
        node.sidecar().call(stub -> Sidecar.small(stub).prepareQuery(message(key)), node.settings().queryDeadline(), ActionListener.wrap(response -> {
            node.stats().addMillisSince(started, Count.QUERY_CALL_MILLIS);
            finish(response, key, state, source, then);
        }, error -> fail(error, state, then)));
    }

    private void fail(Exception error, SearchState state, ActionListener<SearchState> then) {
        node.stats().one(Count.QUERIES_UNTOUCHED);
        String status = SearchState.failure(error);
        state.notRewritten(status, SearchState.reason(error));
        then.onResponse(state.notReranked(status, "the query could not be encoded"));
    }

    private void finish(
        PrepareQueryResponse response,
        Key key,
        SearchState state,
        SearchSourceBuilder source,
        ActionListener<SearchState> then
    ) {
        check(response);
        if (isCacheable(key, response)) {
            cache.put(key, response);
        }
        apply(response, state, source);
        then.onResponse(state);
    }

    /**
     * Reads an answer before anything is changed or cached.
     *
     * @throws RuntimeException saying what is wrong with it
     */
    private void check(PrepareQueryResponse response) {
        if (!response.getClauseJson().isEmpty()) {
            parse(response);
        }
        if (response.hasEmbeddings()) {
            MaxSimQuery.of(response.getEmbeddings(), 0).check();
        }
    }

    /** Whether a later search would get the same response: embeddings that are only missing for now are not cached. */
    private static boolean isCacheable(Key key, PrepareQueryResponse response) {
        return !key.embeddings
            || response.hasEmbeddings()
            || response.getUnreranked() == RerankStatus.RERANK_STATUS_UNKNOWN_LANGUAGE;
    }

    /** The state before the sidecar is called; it has a query status if no call is needed. */
    private SearchState state(SearchRequest request, Options options) {
        SearchSourceBuilder source = request.source();
        int from = source == null ? 0 : Math.max(0, source.from());
        int size = source == null || source.size() < 0 ? DEFAULT_SIZE : source.size();
        if (options.mode() == Mode.OFF || !node.settings().enabled()) {
            return new SearchState(options, null, from, size).leftAsWritten("OFF", "");
        }
        Node.Searched searched = node.searched(request);
        var state = new SearchState(options, searched.setup(), from, size);
        if (searched.setup() == null) {
            return state.leftAsWritten("NOT_SET_UP", searched.problem());
        }
        state.maxWindow = searched.maxWindow();
        state.membership = FirstStage.decide(source, state.setup.fields(), options.matchSet(), options.text());
        if (source == null || state.membership.text().isEmpty()) {
            return state.leftAsWritten("NO_TEXT", "no text is searched in an encoded field: add a match clause or ext.cherche.text");
        }
        if (request.scroll() != null || FirstStage.isSorted(source)) {
            return state.leftAsWritten("SKIPPED_SORT", "the search sorts by anything but descending score, or scrolls");
        }
        return state;
    }

    /** Decides the window; codes are not fetched for a page that is not reranked. */
    private void planRerank(SearchState state, SearchSourceBuilder source) {
        int wanted = state.options.window() == 0 ? state.setup.window() : state.options.window();
        int window = Math.min(wanted, state.maxWindow);
        if (window < wanted) {
            state.windowCut = "the window of " + wanted + " hits is cut to index.max_result_window, " + window;
        }
        if (!state.options.rerank() || state.size == 0) {
            state.notReranked("NOT_REQUESTED", "");
        } else if (FirstStage.hasSortValues(source)) {
            state.notReranked(
                "SKIPPED_SORT",
                "search_after continues by the hits' sort values, which a reranked order does not follow: sort by _score alone"
            );
        } else if (!state.setup.hasCodes()) {
            state.notReranked("CODES_MISSING", "the index stores no token codes: set it up with a reranker");
        } else if (state.from >= window) {
            state.notReranked(
                SearchState.OUTSIDE_WINDOW,
                "the page starts after the rerank window of " + window + " hits, so its scores lie below all of those"
            );
        } else if (scoresOnShards(state)) {
            state.onShards = true;
            state.window = window;
        } else {
            Budget.Window fitting = node.budget().reserve(window, Math.min(window, state.from + 1));
            state.reservation = fitting.reservation();
            state.window = fitting.hits();
            state.shrunk = fitting.hits() < window;
            if (state.shrunk) {
                node.stats().one(Count.WINDOWS_SHRUNK);
            }
            if (fitting.hits() == 0) {
                state.notReranked("UNAVAILABLE", "the heap budget for reranks is used up: raise breaker." + Budget.BREAKER + ".limit");
            }
        }
    }

    private static boolean scoresOnShards(SearchState state) {
        return state.options.maxsim() == Scorer.SHARDS && CodesDecoder.reads(state.setup.codec()) && MaxSimPhase.isAvailable();
    }

    private PrepareQueryRequest message(Key key) {
        var request = PrepareQueryRequest.newBuilder()
            .setMetaJson(key.setup.json())
            .setText(key.text)
            .setQueryMode(key.mode)
            .setQueryTerms(key.terms)
            .setMaxClauses(key.clauses)
            .setEmbeddings(key.embeddings);
        if (key.boost != null) {
            request.setSparseBoost(key.boost);
        }
        return request.build();
    }

    private void apply(PrepareQueryResponse response, SearchState state, SearchSourceBuilder source) {
        if (!state.membership.isRewritten()) {
            state.notRewritten(AS_WRITTEN, state.membership.reason());
        } else if (response.getClauseJson().isEmpty()) {
            boolean isUnknownLanguage = response.getSparse().getStatus() == SparseStatus.SPARSE_STATUS_UNKNOWN_LANGUAGE;
            state.notRewritten(isUnknownLanguage ? "UNKNOWN_LANGUAGE" : "NO_TERMS", response.getSparse().getReason());
        } else {
            state.terms = response.getTerms();
            state.queryStatus = SearchState.REWRITTEN;
            state.queryReason = response.getTermsCut() > 0
                ? response.getTermsCut() + " terms did not fit the cluster's clause limit"
                : String.join("; ", response.getWarningsList());
            boolean union = state.membership.isUnion();
            QueryBuilder users = union || source.minScore() == null ? source.query() : FirstStage.withMinScore(source);
            Phases phases = phases(state, source);
            Phases.Halves halves = phases.split(parse(response));
            source.query(FirstStage.hybrid(users, halves.first(), union));
            if (halves.others() != null) {
                // Both scores are added, as the score mode is by default.
                source.addRescorer(new QueryRescorerBuilder(halves.others()).windowSize(phases.candidates()));
                state.firstTerms = phases.terms();
            } else if (state.options.firstTerms() != null && !phases.reason().isEmpty()) {
                String said = "all terms found hits, not only the heaviest: " + phases.reason();
                state.queryReason = state.queryReason.isEmpty() ? said : state.queryReason + "; " + said;
            }
        }
        node.stats().one(SearchState.REWRITTEN.equals(state.queryStatus) ? Count.QUERIES_REWRITTEN : Count.QUERIES_UNTOUCHED);
        if (state.window == 0) {
            return;
        }
        if (!response.hasEmbeddings()) {
            state.reservation.release();
            String why = response.getEmbeddingsMissing();
            state.notReranked(
                statusWithoutEmbeddings(response.getUnreranked()),
                why.isEmpty() ? "the sidecar returned no query embeddings" : why
            );
            return;
        }
        state.embeddings = response.getEmbeddings();
        source.from(0).size(Math.max(state.window, state.from + state.size));
        if (state.onShards) {
            List<SearchExtBuilder> exts = new ArrayList<>(source.ext());
            exts.add(MaxSimQuery.of(state.embeddings, node.settings().rerankDeadline().millis()));
            source.ext(exts);
        } else {
            source.docValueField(IndexSetup.CODES);
        }
    }

    private static Phases phases(SearchState state, SearchSourceBuilder source) {
        Integer wanted = state.options.firstTerms();
        int terms = wanted == null ? state.setup.firstTerms() : wanted;
        return Phases.decide(source, state.membership, terms, state.options.candidates(), state.window, state.from, state.size);
    }

    /** Rerank status of a query without embeddings; older sidecars send only the reason. */
    private static String statusWithoutEmbeddings(RerankStatus status) {
        return switch (status) {
            case RERANK_STATUS_UNSPECIFIED, UNRECOGNIZED -> "UNAVAILABLE";
            default -> SearchState.name(status);
        };
    }

    /** Without the clause's name, which would show up among the user's own matched_queries. */
    private QueryBuilder parse(PrepareQueryResponse response) {
        byte[] json = response.getClauseJson().toByteArray();
        try (var parser = JsonXContent.jsonXContent.createParser(xContent, LoggingDeprecationHandler.INSTANCE, json)) {
            return AbstractQueryBuilder.parseInnerQueryBuilder(parser).queryName(null);
        } catch (IOException | RuntimeException e) {
            throw new IllegalStateException("the sidecar returned a clause that is not a query: " + e.getMessage(), e);
        }
    }

    /** Removes {@code ext.cherche} from a request: shards do not need it. */
    static ChercheExt takeExt(SearchSourceBuilder source) {
        ChercheExt own = source == null ? null : ChercheExt.in(source.ext());
        if (own != null) {
            List<SearchExtBuilder> others = new ArrayList<>(source.ext());
            others.remove(own);
            source.ext(others);
        }
        return own;
    }
}
