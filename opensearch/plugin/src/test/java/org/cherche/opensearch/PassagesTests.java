package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.FindPassagesRequest;
import cherche.v1.Plugin.FindPassagesResponse;
import cherche.v1.Plugin.HitPassages;
import cherche.v1.Plugin.PassageHit;
import cherche.v1.Search.Passage;
import cherche.v1.Search.PassageAnswer;
import com.google.protobuf.ByteString;
import io.grpc.Status;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.cherche.opensearch.Stats.Count;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.common.bytes.BytesArray;
import org.opensearch.search.SearchHit;

class PassagesTests {

    private static final String TEXT = "👩🏽‍🚀 flew; the blue se\u0301a 🙂 שלום";

    private final TestNode test = new TestNode();
    private final SearchRequest request = new SearchRequest("books");

    @AfterEach
    void close() {
        test.close();
    }

    private SearchState state(Object passages) {
        var values = new HashMap<String, Object>(Map.of("passages", passages));
        var state = new SearchState(Options.DEFAULTS.override(values), test.node.setupForWriting("books"), 0, 10).notRewritten("REWRITTEN", "");
        state.membership = new FirstStage.Membership("blue sea", FirstStage.UNION, "");
        return state;
    }

    /** The index holds the same text under every id. */
    private void store(String... ids) {
        test.search = asked -> TestNode.response(
            Stream.of(ids).map(id -> hit(id).sourceRef(new BytesArray("{\"text\": \"" + TEXT + "\"}"))).toArray(SearchHit[]::new)
        );
    }

    private static Passage passage(String text, String part) {
        int start = text.codePointCount(0, text.indexOf(part));
        int end = start + part.codePointCount(0, part.length());
        var answer = PassageAnswer.newBuilder().setQueryToken("blue").setStart(start).setEnd(start + 1).setSimilarity(0.5);
        return Passage.newBuilder().setField("text").setStart(start).setEnd(end).setText(part).setScore(1.5).addAnswers(answer).build();
    }

    /** The sidecar finds the same part in every hit but those of the ids. */
    private static FindPassagesResponse found(FindPassagesRequest asked, String... without) {
        var response = FindPassagesResponse.newBuilder();
        for (PassageHit hit : asked.getHitsList()) {
            boolean isLeftOut = List.of(without).contains(hit.getId());
            response.addHits(isLeftOut ? HitPassages.getDefaultInstance() : HitPassages.newBuilder().addPassages(passage(TEXT, "the blue se\u0301a 🙂")).build());
        }
        return response.build();
    }

    private SearchResponse add(SearchState state, String... ids) throws Exception {
        SearchResponse page = TestNode.response(Stream.of(ids).map(PassagesTests::hit).toArray(SearchHit[]::new));
        return TestNode.await(then -> test.node.passages().add(request, page, state, then));
    }

    private static SearchHit hit(String id) {
        return PageTextsTests.hit("books", id, null);
    }

    private static Map<String, Object> ext(SearchResponse page) {
        return ChercheExt.in(page.getInternalResponse().getSearchExtBuilders()).values();
    }

    private static Object status(SearchResponse page) {
        return ext(page).get("passages_status");
    }

    private static Object reason(SearchResponse page) {
        return ext(page).get("passages_reason");
    }

    @Test
    void hitsGetThePassagesThatTheSidecarFinds() throws Exception {
        store("b", "a");
        test.findPassages = PassagesTests::found;
        SearchResponse page = add(state(Map.of("count", 2, "size", 24, "fields", List.of("text"))), "a", "b");
        assertEquals(List.of("a", "b"), TestNode.ids(page));
        assertEquals(Map.of("passages_status", "FOUND"), ext(page));
        var sent = (FindPassagesRequest) test.calls.get(0);
        assertEquals(List.of("a", "b"), sent.getHitsList().stream().map(PassageHit::getId).toList());
        assertEquals("{\"text\":[\"" + TEXT + "\"]}", sent.getHits(0).getSourceJson().toStringUtf8());
        assertEquals(List.of("blue sea", 2, 24), List.of(sent.getText(), sent.getCount(), sent.getSize()));
        assertEquals(List.of("text"), sent.getFieldsList());
        assertEquals(1, test.count(Count.PAGES_WITH_PASSAGES));
        assertEquals(0, test.reserved());
    }

    @Test
    @SuppressWarnings("unchecked")
    void offsetsCountCodePoints() throws Exception {
        store("a");
        test.findPassages = PassagesTests::found;
        SearchHit hit = add(state(1), "a").getHits().getAt(0);
        var shown = (Map<String, Object>) hit.field(Passages.FIELD).getValue();
        int start = TEXT.offsetByCodePoints(0, (int) shown.get("start"));
        int end = TEXT.offsetByCodePoints(0, (int) shown.get("end"));
        assertEquals(shown.get("text"), TEXT.substring(start, end));
        assertEquals("the blue se\u0301a 🙂", shown.get("text"));
        assertEquals(List.of("text", 0, 1.5f, false), List.of(shown.get("field"), shown.get("element"), shown.get("score"), shown.get("encoded_now")));
        var answers = (List<Map<String, Object>>) shown.get("answers");
        assertEquals(List.of(Map.of("query_token", "blue", "start", shown.get("start"), "end", (int) shown.get("start") + 1, "similarity", 0.5f)), answers);
    }

    @Test
    void aSearchThatAsksForNoneIsLeftAsItIs() throws Exception {
        SearchResponse page = TestNode.response(hit("a"));
        SearchResponse same = TestNode.await(then -> test.node.passages().add(request, page, state(0), then));
        assertSame(page, same);
        assertEquals(List.of(), test.searches);
    }

    @Test
    void withoutATextThatIsEncodedThereAreNone() throws Exception {
        for (String status : List.of("OFF", "NOT_SET_UP", "NO_TEXT", "UNAVAILABLE", "DEADLINE", "CROSS_CLUSTER", "SHADOW")) {
            SearchResponse page = add(state(1).leftAsWritten(status, "why"), "a");
            assertEquals(List.of(status, "why"), List.of(status(page), reason(page)));
        }
        assertEquals(List.of("NONE", "there were no hits"), List.of(status(add(state(1))), reason(add(state(1)))));
        var scroll = new SearchRequest("books").scroll(TimeValue.timeValueMinutes(1));
        SearchResponse found = TestNode.response(hit("a"));
        SearchResponse page = TestNode.await(then -> test.node.passages().add(scroll, found, state(1), then));
        assertEquals("a search that scrolls has none", reason(page));
        assertEquals(List.of(), test.searches);
    }

    @Test
    void aSortedSearchHasSome() throws Exception {
        store("a");
        test.findPassages = PassagesTests::found;
        assertEquals("FOUND", status(add(state(1).leftAsWritten("SKIPPED_SORT", ""), "a")));
    }

    @Test
    void whatTheSidecarSaysOfHitsWithoutPassagesIsShown() throws Exception {
        store("a", "b");
        test.findPassages = asked -> found(asked, "b").toBuilder().addWarnings("no passages of 1 of 2 hits: they have no text").build();
        SearchResponse page = add(state(1), "a", "b");
        assertEquals(List.of("PARTIAL", "no passages of 1 of 2 hits: they have no text"), List.of(status(page), reason(page)));
        assertNull(page.getHits().getAt(1).field(Passages.FIELD));
        test.findPassages = asked -> found(asked, "a", "b");
        assertEquals("NONE", status(add(state(1), "a", "b")));
    }

    @Test
    void aHitThatIsGoneMeanwhileCostsNoOtherItsPassages() throws Exception {
        store("a");
        test.findPassages = PassagesTests::found;
        SearchResponse page = add(state(1), "gone", "a");
        assertEquals(List.of("PARTIAL", "no passages of 1 of 2 hits: they could not be read once more"), List.of(status(page), reason(page)));
        assertNull(page.getHits().getAt(0).field(Passages.FIELD));
        assertEquals(1, page.getHits().getAt(1).field(Passages.FIELD).getValues().size());
        store();
        assertEquals("NONE", status(add(state(1), "gone")));
    }

    @Test
    void aFailureCostsThePassagesAlone() throws Exception {
        store("a");
        Map<Status, String> statuses = Map.of(
            Status.DEADLINE_EXCEEDED, "DEADLINE", Status.UNAVAILABLE, "UNAVAILABLE", Status.INVALID_ARGUMENT, "REFUSED"
        );
        statuses.forEach((failure, status) -> {
            test.findPassages = asked -> { throw failure.withDescription("why").asRuntimeException(); };
            try {
                SearchResponse page = add(state(1), "a");
                assertEquals(List.of("a"), TestNode.ids(page));
                assertEquals(List.of(status, "why"), List.of(status(page), reason(page)));
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        });
        test.findPassages = asked -> { throw Status.UNIMPLEMENTED.asRuntimeException(); };
        assertEquals("the sidecar is older than the plugin and finds none: update it", reason(add(state(1), "a")));
        test.findPassages = asked -> FindPassagesResponse.getDefaultInstance();
        assertEquals("the sidecar returned passages of other hits than it received", reason(add(state(1), "a")));
        test.search = asked -> { throw new IllegalStateException("no shard"); };
        assertEquals(List.of("UNAVAILABLE", "no shard"), List.of(status(add(state(1), "a")), reason(add(state(1), "a"))));
        assertEquals(0, test.reserved());
    }

    @Test
    void passagesThatAreNotOfTheirTextAreNotShown() throws Exception {
        store("a", "b");
        Passage good = passage(TEXT, "blue");
        var more = PassageAnswer.newBuilder().setStart(good.getStart()).setEnd(good.getEnd());
        List<Passage.Builder> wrong = List.of(
            good.toBuilder().setField("title"),
            good.toBuilder().setElement(1),
            good.toBuilder().setElement(-1),
            good.toBuilder().setText("red"),
            good.toBuilder().setStart(good.getStart() + 1),
            good.toBuilder().setEnd(good.getStart()),
            good.toBuilder().setEnd(1_000),
            good.toBuilder().setStart(-1),
            good.toBuilder().setScore(Double.NaN),
            good.toBuilder().addAnswers(more.setSimilarity(Double.NEGATIVE_INFINITY)),
            good.toBuilder().addAnswers(more.setSimilarity(1).setEnd(good.getEnd() + 1))
        );
        for (Passage.Builder one : wrong) {
            test.findPassages = asked -> FindPassagesResponse.newBuilder()
                .addHits(HitPassages.newBuilder().addPassages(good).addPassages(one))
                .addHits(HitPassages.newBuilder().addPassages(good))
                .build();
            SearchResponse page = add(state(1), "a", "b");
            assertEquals("PARTIAL", status(page), one::toString);
            assertEquals("no passages of 1 of 2 hits: the sidecar returned passages that are not of their texts", reason(page));
            assertNull(page.getHits().getAt(0).field(Passages.FIELD));
            assertEquals(1, page.getHits().getAt(1).field(Passages.FIELD).getValues().size());
        }
    }

    @Test
    void ofANumberTheSidecarWritesTheText() throws Exception {
        test.search = asked -> TestNode.response(hit("a").sourceRef(new BytesArray("{\"text\": [null, 1e-7]}")));
        Passage number = Passage.newBuilder().setField("text").setElement(1).setEnd(5).setText("1e-07").build();
        test.findPassages = asked -> FindPassagesResponse.newBuilder().addHits(HitPassages.newBuilder().addPassages(number)).build();
        assertEquals("FOUND", status(add(state(1), "a")));
        Passage nothing = number.toBuilder().setElement(0).build();
        test.findPassages = asked -> FindPassagesResponse.newBuilder().addHits(HitPassages.newBuilder().addPassages(nothing)).build();
        assertEquals("NONE", status(add(state(1), "a")));
    }

    @Test
    void anIndexWithASmallResultWindowIsReadWithinIt() throws Exception {
        store("a", "b");
        test.findPassages = PassagesTests::found;
        SearchState state = state(1);
        state.maxWindow = 3;
        assertEquals("FOUND", status(add(state, "a", "b")));
        assertEquals(3, test.searches.get(0).source().size());
    }

    @Test
    void aPageSendsNoMoreThanItsBytes() throws Exception {
        store("a", "b", "c");
        test.findPassages = PassagesTests::found;
        var small = new Passages(test.node, new PageTexts(test.client), 200);
        SearchResponse found = TestNode.response(hit("a"), hit("b"), hit("c"));
        SearchResponse page = TestNode.await(then -> small.add(request, found, state(1), then));
        int sent = ((FindPassagesRequest) test.calls.get(0)).getHitsCount();
        assertTrue(sent > 0 && sent < 3, () -> sent + " hits");
        assertEquals("PARTIAL", status(page));
        assertEquals("no passages of " + (3 - sent) + " of 3 hits: texts and codes of a page may have 200 bytes", reason(page));
    }

    @Test
    void onlyTheFirstHitsOfALongPageAreRead() throws Exception {
        String[] ids = Stream.iterate(0, n -> n + 1).limit(Passages.MOST_HITS + 1).map(String::valueOf).toArray(String[]::new);
        store(ids);
        test.findPassages = PassagesTests::found;
        SearchResponse page = add(state(1), ids);
        assertEquals(Passages.MOST_HITS, ((FindPassagesRequest) test.calls.get(0)).getHitsCount());
        assertEquals("PARTIAL", status(page));
        assertEquals("no passages of 1 of 101 hits: only the first 100 hits of a page get some", reason(page));
    }

    @Test
    void whatThePageAlreadySaysIsKept() throws Exception {
        store("a");
        test.findPassages = PassagesTests::found;
        SearchResponse found = Pages.with(TestNode.response(hit("a")), TestNode.response(hit("a")).getHits(), new ChercheExt(Map.of("query_terms", 3)));
        SearchResponse page = TestNode.await(then -> test.node.passages().add(request, found, state(1), then));
        assertEquals(Map.of("query_terms", 3, "passages_status", "FOUND"), ext(page));
        assertFalse(ext(page).containsKey("passages_reason"));
    }

    @Test
    void codesAndHashAreSentAsTheyAreStored() throws Exception {
        SearchHit stored = PageTextsTests.stored(hit("a"), "{\"text\": [\"x\", null]}", "h", "c");
        test.search = asked -> TestNode.response(stored);
        test.findPassages = asked -> found(asked, "a");
        add(state(1), "a");
        PassageHit sent = ((FindPassagesRequest) test.calls.get(0)).getHits(0);
        assertEquals(List.of("h", ByteString.copyFromUtf8("c")), List.of(sent.getHash(), sent.getCodes()));
        assertEquals("{\"text\":[\"x\",null]}", sent.getSourceJson().toStringUtf8());
    }
}
