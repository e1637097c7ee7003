package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

class MaxSimTests {

    private static final int DIM = 24;

    private static byte[] bytes(Object base64) {
        return Base64.getDecoder().decode((String) base64);
    }

    private static MaxSimQuery query(Map<String, Object> vector) {
        return new MaxSimQuery(bytes(vector.get("query")), (int) vector.get("tokens"), (int) vector.get("dim"), 250);
    }

    /** Random int8 codes with the scale 1. */
    private static byte[] codes(Random random, int tokens) {
        byte[] codes = new byte[10 + tokens * (2 + DIM)];
        random.nextBytes(codes);
        System.arraycopy(new byte[] { 'C', 'C', 1, 1, DIM, 0, (byte) tokens, 0, 0, 0 }, 0, codes, 0, 10);
        for (int token = 0; token < tokens; token++) {
            codes[10 + 2 * token] = 0;
            codes[11 + 2 * token] = 0x3c;
        }
        return codes;
    }

    /** The sum over query tokens of the largest dot product, in plain loops. */
    private static double expected(float[] query, int tokens, byte[] codes) {
        int rows = codes[6] & 0xff;
        double sum = 0;
        for (int token = 0; token < tokens; token++) {
            double best = Double.NEGATIVE_INFINITY;
            for (int row = 0; row < rows; row++) {
                double dot = 0;
                for (int component = 0; component < DIM; component++) {
                    dot += query[token * DIM + component] * codes[10 + 2 * rows + row * DIM + component];
                }
                best = Math.max(best, dot);
            }
            sum += best;
        }
        return sum;
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
            assertEquals(wanted, scorer.score(shifted, 3, codes.length), 1e-5, "a scorer can be reused, anywhere in a buffer");
        }
    }

    @Test
    void everyTokenOfALongDocumentCounts() {
        var random = new Random(4);
        int tokens = 19;
        float[] query = new float[tokens * DIM];
        for (int place = 0; place < query.length; place++) {
            query[place] = (float) random.nextGaussian();
        }
        var scorer = new MaxSim(query, tokens, DIM);
        for (int rows = 1; rows < 140; rows++) {
            byte[] codes = codes(random, rows);
            assertEquals(expected(query, tokens, codes), scorer.score(codes, 0, codes.length), 0.05, rows + " rows");
        }
    }

    @Test
    void rejectsWhatTheSidecarRejects() {
        var scorer = new MaxSim(new float[8], 1, 8);
        for (Object refused : (List<?>) Contract.read("maxsim.json").get("refused")) {
            byte[] codes = bytes(refused);
            var error = assertThrows(IllegalArgumentException.class, () -> scorer.score(codes, 0, codes.length));
            assertTrue(error.getMessage().contains("token codes"), error.getMessage());
        }
    }

    @Test
    void rejectsCodesOfAnotherWidth() {
        byte[] codes = codes(new Random(1), 2);
        var error = assertThrows(IllegalArgumentException.class, () -> new MaxSim(new float[8], 1, 8).score(codes, 0, codes.length));
        assertEquals("token codes have 24 dimensions, the query has 8: they come from another reranker", error.getMessage());
        codes[6] = 3;
        error = assertThrows(IllegalArgumentException.class, () -> new MaxSim(new float[DIM], 1, DIM).score(codes, 0, codes.length));
        assertEquals("token codes are damaged: the header says 78 bytes, 52 follow", error.getMessage());
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
}
