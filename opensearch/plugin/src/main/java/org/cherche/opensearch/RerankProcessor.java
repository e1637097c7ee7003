package org.cherche.opensearch;

import java.util.Map;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.core.action.ActionListener;
import org.opensearch.ingest.ConfigurationUtils;
import org.opensearch.search.pipeline.AbstractProcessor;
import org.opensearch.search.pipeline.PipelineProcessingContext;
import org.opensearch.search.pipeline.Processor;
import org.opensearch.search.pipeline.SearchResponseProcessor;

/**
 * Search response processor {@code cherche_rerank}: reorders the hits that {@code cherche_query} of the same pipeline
 * requested, and reports statuses and counts under {@code ext.cherche}.
 */
final class RerankProcessor extends AbstractProcessor implements SearchResponseProcessor {

    static final String TYPE = "cherche_rerank";

    private final Node node;
    private final Reranker.Settings settings;

    private RerankProcessor(
        String tag,
        String description,
        boolean ignoreFailure,
        Node node,
        Reranker.Settings settings
    ) {
        super(tag, description, ignoreFailure);
        this.node = node;
        this.settings = settings;
    }

    @Override
    public String getType() {
        return TYPE;
    }

    @Override
    public SearchResponse processResponse(SearchRequest request, SearchResponse response) {
        throw new UnsupportedOperationException(TYPE + " never blocks: it is called asynchronously");
    }

    @Override
    public void processResponseAsync(
        SearchRequest request,
        SearchResponse response,
        PipelineProcessingContext context,
        ActionListener<SearchResponse> listener
    ) {
        if (!(context.getAttribute(SearchState.ATTRIBUTE) instanceof SearchState state)) {
            var none = new SearchState(Options.DEFAULTS, null, 0, 0).notRewritten("NOT_PREPARED", "")
                .notReranked("NOT_PREPARED", "add " + QueryProcessor.TYPE + " to the pipeline's request_processors");
            node.reranker().rerank(response, none, settings, listener);
            return;
        }
        if (state.shadow) {
            node.shadow().compare(request, response, state.options, settings);
        }
        node.reranker().rerank(response, state, settings, ActionListener.delegateFailure(listener, (then, page) -> {
            node.passages().add(request, page, state, then);
        }));
    }

    record Factory(Node.Provider node) implements Processor.Factory<SearchResponseProcessor> {

        @Override
        public SearchResponseProcessor create(
            Map<String, Processor.Factory<SearchResponseProcessor>> factories,
            String tag,
            String description,
            boolean ignoreFailure,
            Map<String, Object> config,
            Processor.PipelineContext context
        ) {
            var settings = new Reranker.Settings(
                ChercheSettings.deadline(TYPE, tag, config),
                ConfigurationUtils.readBooleanProperty(TYPE, tag, config, "fail_closed", false),
                ConfigurationUtils.readBooleanProperty(TYPE, tag, config, "keep_scores", true)
            );
            return new RerankProcessor(tag, description, ignoreFailure, node.get(), settings);
        }
    }
}
