package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.opensearch.common.io.stream.BytesStreamOutput;

class MaxSimTests {

    private static byte[] bytes(Object base64) {
        return Base64.getDecoder().decode((String) base64);
    }

    private static MaxSimQuery query(Map<String, Object> vector) {
        return new MaxSimQuery(bytes(vector.get("query")), (int) vector.get("tokens"), (int) vector.get("dim"), 250);
    }

    @Test
    void scoresAreTheSidecars() {
        for (Map<String, Object> vector : Contract.vectors("maxsim.json")) {
            byte[] codes = bytes(vector.get("codes"));
            byte[] shifted = new byte[codes.length + 5];
            System.arraycopy(codes, 0, shifted, 3, codes.length);
            double wanted = ((Number) vector.get("maxsim")).doubleValue();
            MaxSim scorer = query(vector).scorer();
            assertEquals(wanted, scorer.score(codes, 0, codes.length), 1e-5);
            assertEquals(wanted, scorer.score(shifted, 3, codes.length), 1e-5, "a scorer is used again, anywhere in a buffer");
        }
    }

    @Test
    void whatIsNotCodesIsRefused() {
        var scorer = new MaxSim(new float[8], 1, 8);
        for (Object refused : (List<?>) Contract.read("maxsim.json").get("refused")) {
            byte[] codes = bytes(refused);
            var error = assertThrows(IllegalArgumentException.class, () -> scorer.score(codes, 0, codes.length));
            assertTrue(error.getMessage().contains("token codes"), error.getMessage());
        }
    }

    @Test
    void withoutTokensThereIsNoSimilarity() {
        byte[] empty = { 'C', 'C', 1, 1, 8, 0, 0, 0, 0, 0 };
        assertEquals(Float.NEGATIVE_INFINITY, new MaxSim(new float[8], 1, 8).score(empty, 0, empty.length));
        byte[] codes = Arrays.copyOf(empty, 20);
        codes[6] = 1;
        assertEquals(Float.NEGATIVE_INFINITY, new MaxSim(new float[0], 0, 8).score(codes, 0, codes.length));
        assertEquals(0.0f, new MaxSim(new float[8], 1, 8).score(codes, 0, codes.length));
    }

    @Test
    void aQueryTravelsWhole() throws IOException {
        MaxSimQuery query = query(Contract.vectors("maxsim.json").get(1));
        try (var out = new BytesStreamOutput()) {
            query.writeTo(out);
            assertEquals(query, new MaxSimQuery(out.bytes().streamInput()));
        }
        assertThrows(IllegalArgumentException.class, () -> new MaxSimQuery(new byte[7], 1, 2, 250));
        assertThrows(IllegalArgumentException.class, () -> MaxSimQuery.refuse(null));
    }
}
