package org.cherche.opensearch;

import java.util.Map;
import org.cherche.opensearch.Options.Mode;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.common.Randomness;
import org.opensearch.core.action.ActionListener;
import org.opensearch.search.pipeline.AbstractProcessor;
import org.opensearch.search.pipeline.PipelineProcessingContext;
import org.opensearch.search.pipeline.Processor;
import org.opensearch.search.pipeline.SearchRequestProcessor;

/** Search request processor {@code cherche_query}: adds the sparse clause and enlarges the page to the rerank window. */
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
        if (own.mode() == Mode.SHADOW) {
            var state = new SearchState(own, null, 0, 0).leftAsWritten("SHADOW", "");
            state.shadow = node.settings().enabled() && Randomness.get().nextDouble() < own.sample();
            context.setAttribute(SearchState.ATTRIBUTE, state);
            listener.onResponse(request);
            return;
        }
        node.rewriter().rewrite(request, own, ActionListener.wrap(state -> {
            context.setAttribute(SearchState.ATTRIBUTE, state);
            listener.onResponse(request);
        }, listener::onFailure));
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
