package org.cherche.opensearch;

import java.util.Map;
import java.util.Set;
import org.cherche.opensearch.Options.Mode;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.Randomness;
import org.opensearch.core.action.ActionListener;
import org.opensearch.search.pipeline.AbstractProcessor;
import org.opensearch.search.pipeline.PipelineProcessingContext;
import org.opensearch.search.pipeline.Processor;
import org.opensearch.search.pipeline.SearchRequestProcessor;

/**
 * Search request processor {@code cherche_query}: adds the sparse clause, enlarges the page to the rerank window and keeps
 * our fields out of what is returned.
 */
final class QueryProcessor extends AbstractProcessor implements SearchRequestProcessor {

    static final String TYPE = "cherche_query";

    private final Node node;
    private final Options options;

    private QueryProcessor(String tag, String description, boolean ignoreFailure, Node node, Options options) {
        super(tag, description, ignoreFailure);
        this.node = node;
        this.options = options;
    }

    @Override
    public String getType() {
        return TYPE;
    }

    @Override
    public SearchRequest processRequest(SearchRequest request) {
        throw new UnsupportedOperationException(TYPE + " never blocks: it is called asynchronously");
    }

    @Override
    public void processRequestAsync(
        SearchRequest request,
        PipelineProcessingContext context,
        ActionListener<SearchRequest> listener
    ) {
        Options own;
        try {
            own = options.of(QueryRewriter.takeExt(request.source()));
        } catch (IllegalArgumentException e) {
            listener.onFailure(e);
            return;
        }
        Set<String> hidden = OwnFields.hide(request);
        SearchFilter.Running running = SearchFilter.running(node.threadContext());
        if (running != null) {
            running.hide(hidden);
        }
        ActionListener<SearchState> decided = ActionListener.wrap(state -> {
            if (running != null) {
                running.hold(state.reservation);
            }
            FirstStage.markForInnerHits(request.source());
            context.setAttribute(SearchState.ATTRIBUTE, state);
            listener.onResponse(request);
        }, listener::onFailure);
        var untouched = new SearchState(own, null, 0, 0);
        if (SearchFilter.spansClusters(request, running)) {
            decided.onResponse(untouched.leftAsWritten(SearchFilter.CROSS_CLUSTER, SearchFilter.SPANS_CLUSTERS));
        } else if (FirstStage.isOfInnerHits(request.source())) {
            decided.onResponse(untouched.leftAsWritten("INNER_HITS", "the search around it decided"));
        } else if (own.mode() == Mode.SHADOW) {
            untouched.shadow = node.settings().enabled() && Randomness.get().nextDouble() < own.sample();
            decided.onResponse(untouched.leftAsWritten("SHADOW", ""));
        } else {
            node.rewriter().rewrite(request, own, decided);
        }
    }

    record Factory(Node.Provider node) implements Processor.Factory<SearchRequestProcessor> {

        @Override
        public SearchRequestProcessor create(
            Map<String, Processor.Factory<SearchRequestProcessor>> factories,
            String tag,
            String description,
            boolean ignoreFailure,
            Map<String, Object> config,
            Processor.PipelineContext context
        ) {
            return new QueryProcessor(tag, description, ignoreFailure, node.get(), Options.DEFAULTS.override(config));
        }
    }
}
