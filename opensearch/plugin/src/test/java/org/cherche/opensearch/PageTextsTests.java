package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.action.search.SearchRequest;
import org.opensearch.action.support.IndicesOptions;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.unit.TimeValue;
import org.opensearch.core.common.bytes.BytesArray;
import org.opensearch.core.index.shard.ShardId;
import org.opensearch.index.query.BoolQueryBuilder;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;
import org.opensearch.search.SearchShardTarget;
import org.opensearch.search.builder.PointInTimeBuilder;
import org.opensearch.search.builder.SearchSourceBuilder;

class PageTextsTests {

    private static final TimeValue DEADLINE = TimeValue.timeValueSeconds(20);

    private final TestNode test = new TestNode();
    private final IndexSetup setup = test.node.setupForWriting("books");

    @AfterEach
    void close() {
        test.close();
    }

    private static DocumentField field(String name, String value) {
        return new DocumentField(name, List.of(value));
    }

    static SearchHit hit(String index, String id, String routing) {
        Map<String, DocumentField> meta = new HashMap<>();
        if (routing != null) {
            meta.put("_routing", field("_routing", routing));
        }
        var hit = new SearchHit(0, id, new HashMap<>(), meta);
        hit.shard(new SearchShardTarget("node", new ShardId(index, "uuid", 0), null, null));
        return hit;
    }

    static SearchHit stored(SearchHit hit, String source, String hash, String codes) {
        hit.sourceRef(new BytesArray(source));
        hit.setDocumentField(IndexSetup.HASH, field(IndexSetup.HASH, hash));
        hit.setDocumentField(IndexSetup.CODES, field(IndexSetup.CODES, Base64.getEncoder().encodeToString(codes.getBytes())));
        return hit;
    }

    private SearchRequest request(SearchRequest asked, SearchHit... hits) {
        return PageTexts.request(asked, List.of(hits), setup, 10_000, DEADLINE);
    }

    @Test
    void theSameIndicesAreReadByIdAlone() {
        var asked = new SearchRequest("library").indicesOptions(IndicesOptions.lenientExpandOpen()).routing("r").preference("p");
        var request = request(asked, hit("books", "a", null), hit("papers", "a", null), hit("books", "b", null));
        assertArrayEquals(new String[] { "library" }, request.indices());
        assertEquals(List.of("_none", "r", "p"), List.of(request.pipeline(), request.routing(), request.preference()));
        assertEquals(IndicesOptions.lenientExpandOpen(), request.indicesOptions());
        BoolQueryBuilder books = QueryBuilders.boolQuery()
            .filter(QueryBuilders.idsQuery().addIds("a", "b"))
            .filter(QueryBuilders.termQuery("_index", "books"));
        BoolQueryBuilder papers = QueryBuilders.boolQuery()
            .filter(QueryBuilders.idsQuery().addIds("a"))
            .filter(QueryBuilders.termQuery("_index", "papers"));
        assertEquals(QueryBuilders.boolQuery().should(books).should(papers), request.source().query());
        assertEquals(6, request.source().size());
        assertArrayEquals(new String[] { "text" }, request.source().fetchSource().includes());
        assertEquals(DEADLINE, request.source().timeout());
    }

    @Test
    void noMoreHitsAreReadThanTheIndicesReturn() {
        List<SearchHit> hits = List.of(hit("narrow", "a", null), hit("narrow", "b", null), hit("narrow", "c", null));
        assertEquals(5, PageTexts.request(new SearchRequest("narrow"), hits, setup, 5, DEADLINE).source().size());
    }

    @Test
    void aPointInTimeIsReadAgain() {
        var asked = new SearchRequest().source(new SearchSourceBuilder().pointInTimeBuilder(new PointInTimeBuilder("point")));
        var request = request(asked, hit("books", "a", null));
        assertEquals("point", request.pointInTimeBuilder().getId());
        assertEquals(0, request.indices().length);
        assertNull(request.pointInTimeBuilder().getKeepAlive());
    }

    @Test
    void codesAreReadOnlyWhereThereAreSome() {
        var codeless = new IndexSetup(setup.json(), setup.fields(), 10, 0.5, "none", false, false, Set.of(), 0);
        List<SearchHit> hits = List.of(hit("books", "a", null));
        for (IndexSetup each : List.of(setup, codeless)) {
            var names = PageTexts.request(new SearchRequest("books"), hits, each, 10_000, DEADLINE).source().docValueFields().stream().map(one -> one.field);
            assertEquals(each.hasCodes(), names.anyMatch(IndexSetup.CODES::equals));
        }
    }

    @Test
    void whatIsStoredIsFoundByIndexIdAndRouting() throws Exception {
        test.search = request -> TestNode.response(
            stored(hit("books", "a", "x"), "{\"text\": [\"one\", null]}", "h1", "c1"),
            stored(hit("books", "a", "y"), "{\"text\": \"two\"}", "h2", "c2"),
            stored(hit("papers", "a", null), "{}", "h3", "c3")
        );
        SearchHit wanted = hit("books", "a", "y");
        Map<String, PageTexts.Stored> found = TestNode.await(
            then -> new PageTexts(test.client).read(
                new SearchRequest("books", "papers"), List.of(wanted), setup, 10_000, DEADLINE, test.node.threadContext(), then
            )
        );
        PageTexts.Stored stored = found.get(PageTexts.key(wanted));
        assertEquals(Map.of("text", List.of("two")), stored.values());
        assertEquals(List.of("h2", "c2"), List.of(stored.hash(), stored.codes().toStringUtf8()));
        assertTrue(found.get(PageTexts.key(hit("papers", "a", null))).values().isEmpty());
        assertFalse(found.containsKey(PageTexts.key(hit("books", "a", null))));
    }
}
