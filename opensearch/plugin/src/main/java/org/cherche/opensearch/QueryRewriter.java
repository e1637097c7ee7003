package org.cherche.opensearch;

import cherche.v1.Plugin.PrepareQueryRequest;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Search.QueryMode;
import cherche.v1.Search.RerankStatus;
import cherche.v1.Search.SparseStatus;
import io.grpc.Status;
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

/** Makes a search hybrid, and fetches what its rerank will need. Whatever hinders it leaves the search as it was. */
final class QueryRewriter {

    private static final int DEFAULT_SIZE = 10;
    /** Clauses left for the user's own query. */
    private static final int RESERVE = 128;

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
        this.cache = CacheBuilder.<Key, PrepareQueryResponse>builder().setMaximumWeight(entries).build();
    }

    /**
     * Rewrites a request in place, or leaves it.
     *
     * @param then gets what became of it; only a request that is wrong in itself fails
     */
    void rewrite(SearchRequest request, Options options, ActionListener<SearchState> then) {
        SearchSourceBuilder source = request.source();
        SearchState state = state(request, options);
        if (state.queryStatus != null) {
            node.stats().one(Count.QUERIES_UNTOUCHED);
            then.onResponse(state);
            return;
        }
        String text = options.text() == null ? FirstStage.text(source.query()) : options.text();
        planRerank(state, source);
        var key = new Key(
            state.setup,
            text,
            options.queryMode(),
            options.queryTerms(),
            options.sparseBoost(),
            state.window > 0,
            Math.max(1, IndexSearcher.getMaxClauseCount() - RESERVE)
        );
        PrepareQueryResponse cached = cache.get(key);
        if (cached != null) {
            node.stats().one(Count.QUERY_CACHE_HITS);
            apply(cached, state, source);
            then.onResponse(state);
            return;
        }
        if (key.mode == QueryMode.QUERY_MODE_DOC_ONLY && !key.embeddings) {
            tables.get(key.setup, table -> {
                if (table == null) {
                    ask(key, state, source, then);
                } else {
                    use(table.prepare(key.text, key.boost, key.clauses), key, state, source, then);
                }
            });
            return;
        }
        ask(key, state, source, then);
    }

    private void ask(Key key, SearchState state, SearchSourceBuilder source, ActionListener<SearchState> then) {
        long started = System.nanoTime();
        node.sidecar().call(stub -> stub.prepareQuery(message(key)), node.settings().queryDeadline(), ActionListener.wrap(response -> {
            node.stats().add(Count.QUERY_CALL_MILLIS, (System.nanoTime() - started) / 1_000_000);
            use(response, key, state, source, then);
        }, error -> {
            node.stats().one(Count.QUERIES_UNTOUCHED);
            Status status = Status.fromThrowable(error);
            state.untouched(outage(status), String.valueOf(status.getDescription()));
            then.onResponse(state.notReranked(outage(status), "the query could not be encoded"));
        }));
    }

    private void use(
        PrepareQueryResponse response,
        Key key,
        SearchState state,
        SearchSourceBuilder source,
        ActionListener<SearchState> then
    ) {
        if (isLasting(key, response)) {
            cache.put(key, response);
        }
        apply(response, state, source);
        then.onResponse(state);
    }

    /** Whether the next search of the text would get the same: a reranker that was busy is asked again. */
    private static boolean isLasting(Key key, PrepareQueryResponse response) {
        return !key.embeddings
            || response.hasEmbeddings()
            || response.getUnreranked() == RerankStatus.RERANK_STATUS_UNKNOWN_LANGUAGE;
    }

    /** DEADLINE or UNAVAILABLE. */
    static String outage(Status status) {
        return status.getCode() == Status.Code.DEADLINE_EXCEEDED ? "DEADLINE" : "UNAVAILABLE";
    }

    /** What is known before the sidecar is asked; with a query status where it need not be. */
    private SearchState state(SearchRequest request, Options options) {
        SearchSourceBuilder source = request.source();
        int from = source == null ? 0 : Math.max(0, source.from());
        int size = source == null || source.size() < 0 ? DEFAULT_SIZE : source.size();
        IndexSetup setup = options.mode() == Mode.OFF || !node.settings().enabled() ? null : node.setupForReading(request);
        var state = new SearchState(options, setup, from, size);
        if (options.mode() == Mode.OFF || !node.settings().enabled()) {
            return state.untouched("OFF", "").notReranked("OFF", "");
        }
        if (setup == null) {
            String reason = "the index, or not every one of them, was set up for cherche, or in different ways";
            return state.untouched("NOT_SET_UP", reason).notReranked("NOT_SET_UP", reason);
        }
        if (source == null || source.query() == null || options.text() == null && FirstStage.text(source.query()) == null) {
            String reason = "the search has no text: send ext.cherche.text, or a match";
            return state.untouched("NO_TEXT", reason).notReranked("NO_TEXT", reason);
        }
        if (request.scroll() != null || FirstStage.isSorted(source) || source.searchAfter() != null) {
            String reason = "the search asks for another order than the score's, or scrolls";
            return state.untouched("SKIPPED_SORT", reason).notReranked("SKIPPED_SORT", reason);
        }
        return state;
    }

    /** How many hits will be reranked: nothing is fetched for a page that cannot use it. */
    private void planRerank(SearchState state, SearchSourceBuilder source) {
        int window = state.options.window() == 0 ? state.setup.window() : state.options.window();
        if (!state.options.rerank() || state.size == 0) {
            state.notReranked("NOT_REQUESTED", "");
        } else if (!state.setup.hasCodes()) {
            state.notReranked("CODES_MISSING", "the index stores no token codes: set it up with a reranker");
        } else if (state.from >= window) {
            state.notReranked("OUTSIDE_WINDOW", "this page starts below the window of " + window + " hits");
        } else if (scoresOnShards(state)) {
            state.onShards = true;
            state.window = window;
        } else {
            Budget.Window fitting = node.budget().reserve(window, Math.min(window, state.from + 1));
            state.hold = fitting.hold();
            state.window = fitting.hits();
            state.shrunk = fitting.hits() < window;
            if (state.shrunk) {
                node.stats().one(Count.WINDOWS_SHRUNK);
            }
            if (fitting.hits() == 0) {
                state.notReranked("UNAVAILABLE", "the heap's budget for reranks is used up");
            }
        }
    }

    private static boolean scoresOnShards(SearchState state) {
        boolean isReadable = state.setup.codec().endsWith(IndexSetup.INT8); // pooled or not
        return state.options.maxsim() == Scorer.SHARDS && isReadable && MaxSimPhase.isAvailable();
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
        state.terms = response.getTerms();
        if (response.getClauseJson().isEmpty()) {
            boolean isUnknownLanguage = response.getSparse().getStatus() == SparseStatus.SPARSE_STATUS_UNKNOWN_LANGUAGE;
            state.untouched(isUnknownLanguage ? "UNKNOWN_LANGUAGE" : "NO_TERMS", response.getSparse().getReason());
        } else {
            state.queryStatus = "REWRITTEN";
            state.queryReason = response.getTermsCut() > 0
                ? response.getTermsCut() + " terms did not fit the cluster's clause limit"
                : String.join("; ", response.getWarningsList());
            boolean union = FirstStage.isUnion(state.options.matchSet(), source);
            QueryBuilder users = union || source.minScore() == null ? source.query() : FirstStage.floored(source);
            source.query(FirstStage.hybrid(users, parse(response), union));
        }
        node.stats().one(response.getClauseJson().isEmpty() ? Count.QUERIES_UNTOUCHED : Count.QUERIES_REWRITTEN);
        if (state.window == 0) {
            return;
        }
        if (!response.hasEmbeddings()) {
            state.hold.release();
            state.notReranked(withoutEmbeddings(response.getUnreranked()), response.getEmbeddingsMissing());
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

    /** What a page says of its rerank; sidecars of before tell the reason alone. */
    private static String withoutEmbeddings(RerankStatus status) {
        return switch (status) {
            case RERANK_STATUS_UNSPECIFIED, UNRECOGNIZED -> "UNAVAILABLE";
            default -> status.name().substring("RERANK_STATUS_".length());
        };
    }

    /** The clause's name is for engines that tell its score; here it would show among the user's own. */
    private QueryBuilder parse(PrepareQueryResponse response) {
        byte[] json = response.getClauseJson().toByteArray();
        try (var parser = JsonXContent.jsonXContent.createParser(xContent, LoggingDeprecationHandler.INSTANCE, json)) {
            return AbstractQueryBuilder.parseInnerQueryBuilder(parser).queryName(null);
        } catch (IOException e) {
            throw new IllegalStateException("the sidecar's clause is no query", e);
        }
    }

    /** The request's own options, taken out: shards need not know them. */
    static ChercheExt takeExt(SearchSourceBuilder source) {
        ChercheExt own = source == null ? null : ChercheExt.among(source.ext());
        if (own != null) {
            List<SearchExtBuilder> others = new ArrayList<>(source.ext());
            others.remove(own);
            source.ext(others);
        }
        return own;
    }
}
