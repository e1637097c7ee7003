package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.lucene.document.BinaryDocValuesField;
import org.apache.lucene.document.Document;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.LeafReaderContext;
import org.apache.lucene.store.ByteBuffersDirectory;
import org.junit.jupiter.api.Test;
import org.opensearch.common.document.DocumentField;
import org.opensearch.common.io.stream.BytesStreamOutput;
import org.opensearch.search.SearchHit;
import org.opensearch.search.fetch.FetchSubPhase.HitContext;
import org.opensearch.search.lookup.SourceLookup;

class MaxSimPhaseTests {

    private static final Map<String, Object> VECTOR = Contract.vectors("maxsim.json").get(1);
    private static final double MAXSIM = ((Number) VECTOR.get("maxsim")).doubleValue();

    private final AtomicLong clock = new AtomicLong(5);

    private static byte[] bytes(String key) {
        return Base64.getDecoder().decode((String) VECTOR.get(key));
    }

    /** As the engine's binary field stores a value. */
    private static Document document(byte[] codes) throws IOException {
        Document document = new Document();
        if (codes != null) {
            try (var out = new BytesStreamOutput()) {
                out.writeVInt(1);
                out.writeByteArray(codes);
                document.add(new BinaryDocValuesField(IndexSetup.CODES, out.bytes().toBytesRef()));
            }
        }
        return document;
    }

    /** The field of each document of a segment. */
    private List<Object> results(long nanosPerHit, byte[]... documents) throws IOException {
        var query = new MaxSimQuery(bytes("query"), (int) VECTOR.get("tokens"), (int) VECTOR.get("dim"), 1);
        var scorer = new MaxSimPhase.Scorer(query, clock::get);
        List<Object> results = new ArrayList<>();
        try (var folder = new ByteBuffersDirectory()) {
            try (var writer = new IndexWriter(folder, new IndexWriterConfig())) {
                for (byte[] codes : documents) {
                    writer.addDocument(document(codes));
                }
            }
            try (var reader = DirectoryReader.open(folder)) {
                LeafReaderContext leaf = reader.leaves().get(0);
                scorer.setNextReader(leaf);
                for (int number = 0; number < documents.length; number++) {
                    var hit = new SearchHit(number, "id", Map.of(), Map.of());
                    scorer.process(new HitContext(hit, leaf, number, new SourceLookup()));
                    DocumentField field = hit.field(Reranker.MAXSIM);
                    results.add(field == null ? null : field.getValue());
                    clock.addAndGet(nanosPerHit);
                }
            }
        }
        return results;
    }

    @Test
    void aHitHasItsScoreOrWhyThereIsNone() throws IOException {
        List<Object> results = results(0, bytes("codes"), null, "?".getBytes(), bytes("codes"));
        assertEquals(MAXSIM, (float) results.get(0), 1e-5);
        assertNull(results.get(1));
        assertEquals("these 1 bytes are not token codes", results.get(2));
        assertEquals(results.get(0), results.get(3));
        assertNull(results(0, null, null).get(0), "a segment in which no document has codes");
    }

    @Test
    void aShardStopsScoringAfterItsTime() throws IOException {
        byte[] codes = bytes("codes");
        List<Object> results = results(600_000, codes, codes, codes);
        assertEquals(List.of((float) results.get(0), (float) results.get(0), MaxSimPhase.LATE), results);
    }
}
