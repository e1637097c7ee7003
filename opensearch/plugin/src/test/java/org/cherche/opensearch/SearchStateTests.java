package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import cherche.v1.Search.RerankStatus;
import io.grpc.Status;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SearchStateTests {

    private final SearchState state = new SearchState(Options.DEFAULTS, null, 0, 10);

    @Test
    void aReasonIsNeverTheWordNull() {
        assertEquals("no reason", SearchState.reason(Status.UNAVAILABLE.withDescription("no reason").asRuntimeException()));
        assertEquals("UNAVAILABLE", SearchState.reason(Status.UNAVAILABLE.asRuntimeException()));
        assertEquals("NullPointerException", SearchState.reason(new NullPointerException()));
    }

    @Test
    void aSearchThatIsLeftAsWrittenIsNotReranked() {
        state.window = 50;
        state.leftAsWritten("NO_TEXT", "why");
        assertEquals("NO_TEXT", state.rerankStatus);
        assertEquals("why", state.rerankReason);
        assertEquals(0, state.window);
        assertEquals(Map.of("query_status", "NO_TEXT", "query_reason", "why", "query_terms", 0), state.toMap());
    }

    @Test
    void anEmptyReasonIsNotShown() {
        state.notRewritten("REWRITTEN", "");
        state.terms = 4;
        assertEquals(Map.of("query_status", "REWRITTEN", "query_terms", 4), state.toMap());
    }

    @Test
    void aFailedCallIsAnOutageOrARefusal() {
        assertEquals("DEADLINE", SearchState.failure(Status.DEADLINE_EXCEEDED.asRuntimeException()));
        assertEquals("UNAVAILABLE", SearchState.failure(Status.UNAVAILABLE.asRuntimeException()));
        assertEquals("UNAVAILABLE", SearchState.failure(new IllegalStateException("no query")));
        assertEquals("REFUSED", SearchState.failure(Status.INVALID_ARGUMENT.asRuntimeException()));
    }

    @Test
    void theMatchSetIsTheOneThatRan() {
        state.membership = new FirstStage.Membership("fox", FirstStage.UNION, "why");
        state.notRewritten(SearchState.REWRITTEN, "");
        assertEquals(List.of("union", "why"), List.of(state.toMap().get("match_set"), state.toMap().get("match_set_reason")));
        state.notRewritten("NO_TERMS", "");
        assertEquals("lexical", state.toMap().get("match_set"));
        assertEquals("no term weights were added", state.toMap().get("match_set_reason"));
        state.membership = new FirstStage.Membership("", FirstStage.NONE, "why");
        assertEquals(List.of("none", "why"), List.of(state.toMap().get("match_set"), state.toMap().get("match_set_reason")));
    }

    @Test
    void theReasonIsTheSidecarsDescriptionOrTheMessage() {
        assertEquals("gone", SearchState.reason(Status.UNAVAILABLE.withDescription("gone").asRuntimeException()));
        assertEquals("UNAVAILABLE", SearchState.reason(Status.UNAVAILABLE.asRuntimeException()));
        assertEquals("no query", SearchState.reason(new IllegalStateException("no query")));
    }

    @Test
    void statusesAreShownWithoutTheirPrefix() {
        assertEquals("CODES_MISSING", SearchState.name(RerankStatus.RERANK_STATUS_CODES_MISSING));
    }
}
