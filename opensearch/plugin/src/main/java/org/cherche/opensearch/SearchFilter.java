package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.opensearch.action.ActionRequest;
import org.opensearch.action.search.SearchAction;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.support.ActionFilter;
import org.opensearch.action.support.ActionFilterChain;
import org.opensearch.common.util.concurrent.ThreadContext;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.action.ActionResponse;
import org.opensearch.tasks.Task;
import org.opensearch.transport.RemoteClusterAware;

/**
 * Sees every search of this node from its start to its end, also those that fail, which no response processor sees; leaves
 * hidden fields out of responses, also where a pipeline has no response processor; and says of a search that spans
 * clusters that it is plain.
 */
final class SearchFilter implements ActionFilter {

    static final String CROSS_CLUSTER = "CROSS_CLUSTER";
    static final String SPANS_CLUSTERS = "a search that spans clusters is plain on all of them, since their scores are merged";
    private static final String RUNNING = "cherche_search";

    private final Node.Provider node;

    SearchFilter(Node.Provider node) {
        this.node = node;
    }

    /** A search of this node, until it is answered. */
    static final class Running {

        /** Whether another cluster sent it; a processor gets a copy of the request, which does not say so. */
        private final boolean isForOthers;
        private final List<Budget.Reservation> held = new ArrayList<>();
        private boolean hasEnded;
        private volatile Set<String> hidden = Set.of();

        Running(boolean isForOthers) {
            this.isForOthers = isForOthers;
        }

        boolean isForOthers() {
            return isForOthers;
        }

        /** Leaves fields out of the hits of its response. */
        void hide(Set<String> fields) {
            hidden = fields;
        }

        Set<String> hidden() {
            return hidden;
        }

        private <R extends ActionResponse> R withoutHidden(R response) {
            if (response instanceof SearchResponse found) {
                OwnFields.remove(found, hidden);
            }
            return response;
        }

        /** Releases a reservation with the end of the search at the latest. */
        void hold(Budget.Reservation reservation) {
            synchronized (this) {
                if (!hasEnded) {
                    held.add(reservation);
                    return;
                }
            }
            reservation.release();
        }

        void end() {
            synchronized (this) {
                hasEnded = true;
            }
            held.forEach(Budget.Reservation::release);
        }
    }

    /** The search that the current thread works for; null outside of one. */
    static Running running(ThreadContext context) {
        return context.getTransient(RUNNING);
    }

    /** Whether hits of other clusters are merged with those of this one. */
    static boolean spansClusters(SearchRequest request, Running running) {
        return running != null && running.isForOthers() || namesClusters(request);
    }

    private static boolean namesClusters(SearchRequest request) {
        // A colon may also stand in date math, <logs-{now/d{yyyy-MM-dd|+12:00}}>.
        return Stream.of(request.indices())
            .anyMatch(name -> !name.startsWith("<") && name.indexOf(RemoteClusterAware.REMOTE_CLUSTER_INDEX_SEPARATOR) > 0);
    }

    @Override
    public int order() {
        return 0;
    }

    @Override
    public <Q extends ActionRequest, R extends ActionResponse> void apply(
        Task task,
        String action,
        Q request,
        ActionListener<R> listener,
        ActionFilterChain<Q, R> chain
    ) {
        if (!SearchAction.NAME.equals(action) || !(request instanceof SearchRequest search)) {
            chain.proceed(task, action, request, listener);
            return;
        }
        ThreadContext context = node.get().threadContext();
        var running = new Running(request.remoteAddress() != null);
        ActionListener<R> shown = ActionListener.map(listener, running::withoutHidden);
        ActionListener<R> said = namesClusters(search) ? ActionListener.map(shown, SearchFilter::withStatus) : shown;
        // An inner search, of collapse for example, starts within its outer one.
        try (var ignored = context.newStoredContext(true, List.of(RUNNING))) {
            context.putTransient(RUNNING, running);
            chain.proceed(task, action, request, ActionListener.runBefore(said, running::end));
        }
    }

    /** No pipeline runs by default where a search names other clusters, and the merged response loses what it said. */
    @SuppressWarnings("unchecked")
    private static <R extends ActionResponse> R withStatus(R response) {
        if (!(response instanceof SearchResponse found) || ChercheExt.in(found.getInternalResponse().getSearchExtBuilders()) != null) {
            return response;
        }
        Map<String, Object> values = new LinkedHashMap<>();
        for (String stage : List.of("query", "rerank")) {
            values.put(stage + "_status", CROSS_CLUSTER);
            values.put(stage + "_reason", SPANS_CLUSTERS);
        }
        return (R) Pages.with(found, found.getHits(), new ChercheExt(values));
    }
}
