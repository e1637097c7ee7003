package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.protobuf.ByteString;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.opensearch.common.document.DocumentField;
import org.opensearch.index.query.QueryBuilders;
import org.opensearch.search.SearchHit;

class StoredPartsTests {

    private final TestNode test = new TestNode();

    @AfterEach
    void close() {
        test.close();
    }

    private static DocumentField field(String name, Object value) {
        return new DocumentField(name, List.of(value));
    }

    private static SearchHit hit(String id, String hash, String terms, String codes) {
        Map<String, DocumentField> fields = new HashMap<>();
        Map<String, String> values = new HashMap<>();
        values.put(IndexSetup.HASH, hash);
        values.put(IndexSetup.TERMS, terms == null ? null : Base64.getEncoder().encodeToString(terms.getBytes()));
        values.put(IndexSetup.CODES, codes == null ? null : Base64.getEncoder().encodeToString(codes.getBytes()));
        values.forEach((name, value) -> {
            if (value != null) {
                fields.put(name, field(name, value));
            }
        });
        return new SearchHit(0, id, fields, Map.of());
    }

    private Map<String, StoredParts> read(IndexSetup setup, String... ids) throws Exception {
        var future = new CompletableFuture<Map<String, StoredParts>>();
        test.node.stored().read("books", setup, List.of(ids), future::complete);
        return future.get(30, TimeUnit.SECONDS);
    }

    @Test
    void documentsThatLackAFieldAreLeftOut() throws Exception {
        test.search = request -> TestNode.response(
            hit("whole", "h", "t", "c"), hit("no hash", null, "t", "c"), hit("no terms", "h", null, "c"), hit("no codes", "h", "t", null)
        );
        IndexSetup setup = test.node.setupForWriting("books");
        var whole = new StoredParts("h", ByteString.copyFromUtf8("t"), ByteString.copyFromUtf8("c"));
        assertEquals(Map.of("whole", whole), read(setup, "whole", "no hash", "no terms", "no codes"));
        var codeless = new IndexSetup(setup.json(), setup.fields(), 10, 0.5, "int8", false, false, Set.of(), 0);
        assertEquals(Map.of("no codes", new StoredParts("h", whole.terms(), ByteString.EMPTY)), read(codeless, "whole", "no codes"));
    }

    @Test
    void aHashOfAnEarlierReleaseIsReadToo() throws Exception {
        test.search = request -> {
            SearchHit hit = hit("old", null, "t", "c");
            hit.setDocumentField(IndexSetup.OLD_HASH, field(IndexSetup.OLD_HASH, "h"));
            return TestNode.response(hit);
        };
        assertEquals("h", read(test.node.setupForWriting("books"), "old").get("old").hash());
    }

    @Test
    void theSearchReadsThePrimaryWithoutAPipeline() throws Exception {
        read(test.node.setupForWriting("books"), "a", "b");
        var request = test.searches.get(0);
        assertEquals(List.of("_none", "_primary"), List.of(request.pipeline(), request.preference()));
        assertEquals(QueryBuilders.idsQuery().addIds("a", "b"), request.source().query());
        assertEquals(2, request.source().size());
    }

    @Test
    void withoutIdsThereIsNoSearch() throws Exception {
        assertEquals(Map.of(), read(test.node.setupForWriting("books")));
        assertEquals(List.of(), test.searches);
    }

    @Test
    void aFailedSearchReadsNothing() throws Exception {
        test.search = request -> { throw new IllegalStateException("no shard"); };
        assertEquals(Map.of(), read(test.node.setupForWriting("books"), "a"));
    }

    @Test
    void bytesThatAreNotBase64AreMissing() {
        assertEquals("codes", StoredParts.bytes(field("f", "Y29kZXM=")).toStringUtf8());
        assertEquals(ByteString.EMPTY, StoredParts.bytes(field("f", "not base64!")));
        assertEquals(ByteString.EMPTY, StoredParts.bytes(field("f", 3)));
        assertEquals(ByteString.EMPTY, StoredParts.bytes(null));
    }
}
