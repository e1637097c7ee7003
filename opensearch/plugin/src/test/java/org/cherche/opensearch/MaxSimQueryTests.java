package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.QueryEmbeddings;
import com.google.protobuf.ByteString;
import java.io.IOException;
import org.junit.jupiter.api.Test;
import org.opensearch.common.io.stream.BytesStreamOutput;

class MaxSimQueryTests {

    private static final byte[] ROWS = { 0, 0, -128, 63, 0, 0, 0, 64, 0, 0, 64, 64, 0, 0, -128, 64 };

    private static MaxSimQuery query(int tokens, int dim, long budgetMillis) {
        return new MaxSimQuery(ROWS, tokens, dim, budgetMillis);
    }

    @Test
    void survivesTheTransport() throws IOException {
        MaxSimQuery query = query(2, 2, 250);
        try (var out = new BytesStreamOutput()) {
            query.writeTo(out);
            assertEquals(query, new MaxSimQuery(out.bytes().streamInput()));
        }
        assertNotEquals(query, query(4, 1, 250));
        assertNotEquals(query, query(2, 2, 251));
    }

    @Test
    void readsLittleEndianRows() {
        byte[] unit = { 'C', 'C', 1, 1, 2, 0, 1, 0, 0, 0, 0, 0x3c, 10, 1 };
        var embeddings = QueryEmbeddings.newBuilder().setData(ByteString.copyFrom(ROWS)).setTokens(2).setDim(2);
        MaxSim scorer = MaxSimQuery.of(embeddings.build(), 1).scorer();
        assertEquals((1 * 10 + 2) + (3 * 10 + 4), scorer.score(unit, 0, unit.length));
    }

    @Test
    void rejectsTheWrongNumberOfBytes() {
        var error = assertThrows(IllegalArgumentException.class, () -> query(2, 3, 250));
        assertTrue(error.getMessage().contains("16 bytes, not 2 x 3 float32"), error.getMessage());
        assertThrows(IllegalArgumentException.class, () -> query((1 << 30) + 4, 1, 250), "4 x tokens overflows an int");
    }

    @Test
    void clientsCannotSendOne() {
        var error = assertThrows(IllegalArgumentException.class, () -> MaxSimQuery.rejectClients(null));
        assertTrue(error.getMessage().contains("is internal to the plugin: send ext.cherche"), error.getMessage());
    }
}
