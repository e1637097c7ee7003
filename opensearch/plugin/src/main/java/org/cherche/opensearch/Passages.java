package org.cherche.opensearch;

import cherche.v1.Plugin.FindPassagesRequest;
import cherche.v1.Plugin.FindPassagesResponse;
import cherche.v1.Plugin.PassageHit;
import cherche.v1.Search.Passage;
import cherche.v1.Search.PassageAnswer;
import io.grpc.Status;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.apache.logging.log4j.LogManager;
import org.apache.logging.log4j.Logger;
import org.cherche.opensearch.Stats.Count;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.search.SearchResponse;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.action.ActionListener;
import org.opensearch.search.SearchHit;

/**
 * Gives the hits of a page the passages that answer the query. Whatever fails costs the passages alone, and
 * {@code ext.cherche} says why.
 */
final class Passages {

    static final String FIELD = "cherche_passages";
    /** The sidecar looks at no more. */
    static final int MOST_HITS = 100;
    private static final Logger LOG = LogManager.getLogger(Passages.class);
    /** Searches of these statuses have no text that is encoded, or no sidecar that answers. */
    private static final Set<String> WITHOUT = Set.of(
        "OFF", "SHADOW", "NOT_SET_UP", "NO_TEXT", SearchFilter.CROSS_CLUSTER, "INNER_HITS", "DEADLINE", "UNAVAILABLE", SearchState.REFUSED
    );

    private final Node node;
    private final PageTexts texts;
    private final long mostBytes;

    Passages(Node node, PageTexts texts, long mostBytes) {
        this.node = node;
        this.texts = texts;
        this.mostBytes = mostBytes;
    }

    /**
     * Completes a page.
     *
     * @param request the search that found it
     * @param then receives the page, with passages where the search asks for them and they were found
     */
    void add(SearchRequest request, SearchResponse page, SearchState state, ActionListener<SearchResponse> then) {
        if (state.options.passages().count() == 0) {
            then.onResponse(page);
        } else if (WITHOUT.contains(state.queryStatus)) {
            then.onResponse(with(page, state.queryStatus, state.queryReason));
        } else if (request.scroll() != null) {
            then.onResponse(with(page, "NONE", "a search that scrolls has none"));
        } else if (page.getHits().getHits().length == 0) {
            then.onResponse(with(page, "NONE", "there were no hits"));
        } else {
            var own = new Page(page, state, then);
            try {
                own.start(request);
            } catch (RuntimeException e) {
                own.fail(e);
            }
        }
    }

    /** A hit, and the values of its fields that the sidecar received. */
    private record Sent(SearchHit hit, Map<String, Object> values) {}

    /** A page on its way. */
    private final class Page {

        private final SearchResponse page;
        private final SearchState state;
        private final ActionListener<SearchResponse> then;
        private final List<String> reasons = new ArrayList<>();
        private final int all;
        private Budget.Reservation reservation = Budget.NONE;
        private final long begun = System.nanoTime();
        private boolean isDone;

        Page(SearchResponse page, SearchState state, ActionListener<SearchResponse> then) {
            this.page = page;
            this.state = state;
            this.then = then;
            this.all = page.getHits().getHits().length;
        }

        void start(SearchRequest request) {
            // A search may ask for no stored fields, and then its hits have no ids.
            List<SearchHit> named = Stream.of(page.getHits().getHits()).filter(hit -> hit.getId() != null).toList();
            List<SearchHit> first = named.subList(0, Math.min(named.size(), MOST_HITS));
            Budget.Window fitting = node.budget().reserve(first.size(), 1);
            reservation = fitting.reservation();
            List<SearchHit> read = first.subList(0, fitting.hits());
            note(all - named.size(), "the search returns no ids");
            note(named.size() - first.size(), "only the first " + MOST_HITS + " hits of a page get some");
            note(first.size() - read.size(), "the heap budget for reranks has no room: raise breaker." + Budget.BREAKER + ".limit");
            if (read.isEmpty()) {
                finish("NONE", "");
                return;
            }
            TimeValue deadline = node.settings().passagesDeadline();
            texts.read(request, read, state.setup, state.maxWindow, deadline, node.threadContext(), ActionListener.wrap(
                stored -> ask(read, stored, left(deadline)),
                this::fail
            ));
        }

        /** What reading left of the time for both. */
        private TimeValue left(TimeValue deadline) {
            return TimeValue.timeValueNanos(Math.max(1, deadline.nanos() - (System.nanoTime() - begun)));
        }

        private void ask(List<SearchHit> hits, Map<String, PageTexts.Stored> stored, TimeValue deadline) {
            PassageOptions wanted = state.options.passages();
            var message = FindPassagesRequest.newBuilder()
                .setMetaJson(state.setup.json())
                .setText(state.membership.text())
                .setCount(wanted.count())
                .setSize(wanted.size())
                .addAllFields(wanted.fields());
            List<Sent> sent = new ArrayList<>();
            long bytes = 0;
            int unread = 0;
            for (SearchHit hit : hits) {
                PageTexts.Stored one = stored.get(PageTexts.key(hit));
                if (one == null) {
                    unread++;
                    continue;
                }
                PassageHit text = PassageHit.newBuilder()
                    .setId(hit.getId())
                    .setSourceJson(IndexSetup.json(one.values()))
                    .setHash(one.hash())
                    .setCodes(one.codes())
                    .build();
                if (bytes + text.getSerializedSize() <= mostBytes) {
                    bytes += text.getSerializedSize();
                    message.addHits(text);
                    sent.add(new Sent(hit, one.values()));
                }
            }
            note(unread, "they could not be read once more");
            note(hits.size() - unread - sent.size(), "texts and codes of a page may have " + mostBytes + " bytes");
            if (sent.isEmpty()) {
                finish("NONE", "");
                return;
            }
            long started = System.nanoTime();
            node.sidecar().slowCall(stub -> Sidecar.small(stub).findPassages(message.build()), deadline, ActionListener.wrap(found -> {
                node.stats().addMillisSince(started, Count.PASSAGES_CALL_MILLIS);
                show(sent, found);
            }, this::fail));
        }

        private void note(int count, String reason) {
            if (count > 0) {
                reasons.add("no passages of " + count + " of " + all + " hits: " + reason);
            }
        }

        private void show(List<Sent> sent, FindPassagesResponse found) {
            if (found.getHitsCount() != sent.size()) {
                finish("UNAVAILABLE", "the sidecar returned passages of other hits than it received");
                return;
            }
            int shown = 0;
            int wrong = 0;
            for (int place = 0; place < sent.size(); place++) {
                Sent one = sent.get(place);
                List<Passage> passages = found.getHits(place).getPassagesList();
                if (!passages.stream().allMatch(passage -> isOf(passage, one.values()))) {
                    wrong++;
                } else if (!passages.isEmpty()) {
                    List<Object> maps = new ArrayList<>();
                    passages.forEach(passage -> maps.add(map(passage)));
                    one.hit().setDocumentField(FIELD, new DocumentField(FIELD, maps));
                    shown++;
                }
            }
            note(wrong, "the sidecar returned passages that are not of their texts");
            reasons.addAll(found.getWarningsList());
            node.stats().one(Count.PAGES_WITH_PASSAGES);
            finish(shown == all ? "FOUND" : shown == 0 ? "NONE" : "PARTIAL", "");
        }

        private void fail(Exception error) {
            LOG.debug("a page has no passages", error);
            boolean isOld = Status.fromThrowable(error).getCode() == Status.Code.UNIMPLEMENTED;
            String reason = isOld ? "the sidecar is older than the plugin and finds none: update it" : SearchState.reason(error);
            finish(SearchState.failure(error), reason);
        }

        /** Answers once: whoever takes the page may fail too. */
        private void finish(String status, String reason) {
            if (isDone) {
                return;
            }
            isDone = true;
            reservation.release();
            if (!reason.isEmpty()) {
                reasons.add(reason);
            }
            then.onResponse(with(page, status, String.join("; ", reasons)));
        }
    }

    /** Whether a passage stands where it says in the values that were sent, and all its numbers are some. */
    private static boolean isOf(Passage passage, Map<String, Object> values) {
        int start = passage.getStart();
        int end = passage.getEnd();
        boolean isWithin = passage.getAnswersList()
            .stream()
            .allMatch(one -> start <= one.getStart() && one.getStart() < one.getEnd() && one.getEnd() <= end && Double.isFinite(one.getSimilarity()));
        List<?> given = values.get(passage.getField()) instanceof List<?> list ? list : List.of();
        int element = passage.getElement();
        if (start < 0 || start >= end || !isWithin || !Double.isFinite(passage.getScore()) || element < 0 || element >= given.size()) {
            return false;
        }
        if (!(given.get(element) instanceof String text)) {
            return given.get(element) != null; // the JSON of a number or boolean, as the sidecar writes it
        }
        return end <= text.codePointCount(0, text.length())
            && passage.getText().equals(text.substring(text.offsetByCodePoints(0, start), text.offsetByCodePoints(0, end)));
    }

    private static SearchResponse with(SearchResponse page, String status, String reason) {
        ChercheExt ext = ChercheExt.in(page.getInternalResponse().getSearchExtBuilders());
        Map<String, Object> values = new LinkedHashMap<>(ext == null ? Map.of() : ext.values());
        values.put("passages_status", status);
        if (!reason.isEmpty()) {
            values.put("passages_reason", reason);
        }
        return Pages.with(page, page.getHits(), new ChercheExt(values));
    }

    /** A passage as a hit shows it: offsets count Unicode code points, as they do wherever passages are returned. */
    static Map<String, Object> map(Passage passage) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("field", passage.getField());
        map.put("element", passage.getElement());
        map.put("start", passage.getStart());
        map.put("end", passage.getEnd());
        map.put("text", passage.getText());
        map.put("score", (float) passage.getScore());
        map.put("encoded_now", passage.getEncodedNow());
        map.put("answers", passage.getAnswersList().stream().map(Passages::map).toList());
        return map;
    }

    private static Map<String, Object> map(PassageAnswer answer) {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("query_token", answer.getQueryToken());
        map.put("start", answer.getStart());
        map.put("end", answer.getEnd());
        map.put("similarity", (float) answer.getSimilarity());
        return map;
    }
}
