package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.net.InetAddress;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicReference;
import org.cherche.opensearch.SearchFilter.Running;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchAction;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.action.support.ActionFilterChain;
import org.opensearch.common.document.DocumentField;
import org.opensearch.core.action.ActionListener;
import org.opensearch.core.common.transport.TransportAddress;
import org.opensearch.search.SearchHit;

class SearchFilterTests {

    private final TestNode test = new TestNode();
    private final SearchFilter filter = new SearchFilter(() -> test.node);

    @AfterEach
    void close() {
        test.close();
    }

    private Running running() {
        return SearchFilter.running(test.pool.getThreadContext());
    }

    private CompletableFuture<SearchResponse> run(SearchRequest request, ActionFilterChain<SearchRequest, SearchResponse> search) {
        var answer = new CompletableFuture<SearchResponse>();
        filter.apply(null, SearchAction.NAME, request, ActionListener.wrap(answer::complete, answer::completeExceptionally), search);
        return answer;
    }

    @Test
    void whateverASearchHoldsIsReleasedWithItsEnd() {
        for (boolean fails : new boolean[] { true, false }) {
            var isReleased = new AtomicBoolean();
            var answer = run(new SearchRequest("books"), (task, action, request, listener) -> {
                running().hold(() -> isReleased.set(true));
                assertFalse(isReleased.get());
                if (fails) {
                    listener.onFailure(new IllegalStateException("shards failed"));
                } else {
                    listener.onResponse(TestNode.response());
                }
            });
            assertTrue(isReleased.get());
            assertEquals(fails, answer.isCompletedExceptionally());
        }
        assertNull(running());
    }

    @Test
    void aSearchWithinASearchHasItsOwnEnd() {
        var outer = new AtomicReference<Running>();
        var isReleased = new AtomicBoolean();
        run(new SearchRequest("books"), (task, action, request, listener) -> {
            outer.set(running());
            running().hold(() -> isReleased.set(true));
            run(new SearchRequest("books"), (innerTask, innerAction, inner, innerListener) -> {
                assertNotSame(outer.get(), running());
                innerListener.onResponse(TestNode.response());
            });
            assertSame(outer.get(), running());
            assertFalse(isReleased.get());
            listener.onResponse(TestNode.response());
        });
        assertTrue(isReleased.get());
    }

    @Test
    void aSearchThatSpansClustersSaysThatItIsPlain() {
        SearchResponse answer = run(new SearchRequest("far:books", "books"), (task, action, request, listener) -> {
            assertTrue(SearchFilter.spansClusters(request, running()));
            listener.onResponse(TestNode.response(TestNode.hit("a")));
        }).join();
        Map<String, Object> ext = ChercheExt.in(answer.getInternalResponse().getSearchExtBuilders()).values();
        assertEquals("CROSS_CLUSTER", ext.get("query_status"));
        assertEquals("CROSS_CLUSTER", ext.get("rerank_status"));
        SearchResponse local = run(new SearchRequest("<books-{now/d{yyyy|+12:00}}>"), (task, action, request, listener) -> {
            assertFalse(SearchFilter.spansClusters(request, running()));
            listener.onResponse(TestNode.response());
        }).join();
        assertNull(ChercheExt.in(local.getInternalResponse().getSearchExtBuilders()));
    }

    @Test
    void aSearchThatAnotherClusterSentIsKnown() {
        SearchRequest sent = new SearchRequest("books");
        sent.remoteAddress(new TransportAddress(InetAddress.getLoopbackAddress(), 9300));
        run(sent, (task, action, request, listener) -> {
            assertTrue(SearchFilter.spansClusters(new SearchRequest(request), running()));
            listener.onResponse(TestNode.response());
        }).join();
    }

    @Test
    void hiddenFieldsAreNotInTheResponse() {
        SearchResponse answer = run(new SearchRequest("books"), (task, action, request, listener) -> {
            running().hide(Set.of("cherche_codes"));
            SearchHit hit = TestNode.hit("a");
            hit.setDocumentField("cherche_codes", new DocumentField("cherche_codes", List.of("AAAA")));
            hit.setDocumentField("title", new DocumentField("title", List.of("car")));
            listener.onResponse(TestNode.response(hit));
        }).join();
        assertEquals(Set.of("title"), answer.getHits().getAt(0).getDocumentFields().keySet());
    }

    @Test
    void otherActionsPass() {
        var answer = new CompletableFuture<SearchResponse>();
        ActionListener<SearchResponse> listener = ActionListener.wrap(answer::complete, answer::completeExceptionally);
        filter.apply(null, "indices:data/read/other", new SearchRequest("books"), listener, (task, action, request, same) -> {
            assertNull(running());
            assertSame(listener, same);
            same.onFailure(new IllegalStateException("no"));
        });
        assertThrows(CompletionException.class, answer::join);
    }
}
