package org.cherche.opensearch;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * MaxSim of one query with stored token codes: for every query token the best document token, summed (Khattab and
 * Zaharia 2020, eq. 3). The codes are the sidecar's own, header included, and so are the scores.
 *
 * <p>Query tokens lie side by side in the lanes of a vector register, so a document token costs one multiply-add per
 * component and block of query tokens, and nothing is summed across lanes before the end.
 *
 * <p>Touches {@code jdk.incubator.vector}: ask {@link MaxSimPhase#isAvailable} before loading this class.
 */
final class MaxSim {

    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    /** Query tokens of one block: two registers. */
    private static final int BLOCK = 2 * LANES;
    /** Document tokens that share one read of the query. */
    private static final int ROWS = 4;
    private static final int HEADER = 10;
    private static final int WHOLE = 1;
    private static final int CHUNKED = 2;
    private static final int INT8 = 1;

    private final int tokens;
    private final int dim;
    private final int width;
    /** The query, component by component: dim rows of width lanes. */
    private final float[] query;
    private final float[] rows;
    private final float[] best;

    /**
     * @param matrix the query's embeddings, one row of dim floats a token
     */
    MaxSim(float[] matrix, int tokens, int dim) {
        this.tokens = tokens;
        this.dim = dim;
        this.width = (tokens + BLOCK - 1) / BLOCK * BLOCK;
        this.query = new float[dim * width];
        this.rows = new float[ROWS * dim];
        this.best = new float[width];
        for (int token = 0; token < tokens; token++) {
            for (int component = 0; component < dim; component++) {
                query[component * width + token] = matrix[token * dim + component];
            }
        }
    }

    /**
     * Scores one document.
     *
     * @param data holds the packed codes from {@code start} on
     * @return minus infinity where query or document has no tokens
     * @throws IllegalArgumentException saying why the codes cannot be read
     */
    float score(byte[] data, int start, int length) {
        int rowsOfDocument = check(data, start, length);
        if (tokens == 0 || rowsOfDocument == 0) {
            return Float.NEGATIVE_INFINITY;
        }
        Arrays.fill(best, Float.NEGATIVE_INFINITY);
        int scales = start + HEADER;
        int values = scales + 2 * rowsOfDocument;
        for (int row = 0; row < rowsOfDocument; row += ROWS) {
            // the last group steps back rather than beyond the end: a token seen twice changes no maximum
            int first = Math.max(0, Math.min(row, rowsOfDocument - ROWS));
            int last = rowsOfDocument - 1;
            if (rowsOfDocument >= ROWS) {
                widen(data, values + first * dim, ROWS * dim, 0);
            } else {
                for (int each = 0; each < ROWS; each++) {
                    widen(data, values + Math.min(each, last) * dim, dim, each * dim);
                }
            }
            float scale0 = scale(data, scales, first);
            float scale1 = scale(data, scales, Math.min(first + 1, last));
            float scale2 = scale(data, scales, Math.min(first + 2, last));
            float scale3 = scale(data, scales, Math.min(first + 3, last));
            for (int block = 0; block < width; block += BLOCK) {
                compare(block, scale0, scale1, scale2, scale3);
            }
        }
        float sum = 0;
        for (int token = 0; token < tokens; token++) {
            sum += best[token];
        }
        return sum;
    }

    /** Raises the best similarities of a block of query tokens by four document tokens. */
    private void compare(int block, float scale0, float scale1, float scale2, float scale3) {
        FloatVector zero = FloatVector.zero(SPECIES);
        FloatVector a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
        for (int component = 0, at = block; component < dim; component++, at += width) {
            FloatVector left = FloatVector.fromArray(SPECIES, query, at);
            FloatVector right = FloatVector.fromArray(SPECIES, query, at + LANES);
            FloatVector a = FloatVector.broadcast(SPECIES, rows[component]);
            a0 = a.fma(left, a0);
            a1 = a.fma(right, a1);
            FloatVector b = FloatVector.broadcast(SPECIES, rows[dim + component]);
            b0 = b.fma(left, b0);
            b1 = b.fma(right, b1);
            FloatVector c = FloatVector.broadcast(SPECIES, rows[2 * dim + component]);
            c0 = c.fma(left, c0);
            c1 = c.fma(right, c1);
            FloatVector d = FloatVector.broadcast(SPECIES, rows[3 * dim + component]);
            d0 = d.fma(left, d0);
            d1 = d.fma(right, d1);
        }
        raise(block, a0.mul(scale0), b0.mul(scale1), c0.mul(scale2), d0.mul(scale3));
        raise(block + LANES, a1.mul(scale0), b1.mul(scale1), c1.mul(scale2), d1.mul(scale3));
    }

    private void raise(int at, FloatVector a, FloatVector b, FloatVector c, FloatVector d) {
        a.max(b).max(c.max(d)).max(FloatVector.fromArray(SPECIES, best, at)).intoArray(best, at);
    }

    private void widen(byte[] data, int from, int count, int to) {
        for (int place = 0; place < count; place++) {
            rows[to + place] = data[from + place];
        }
    }

    private static float scale(byte[] data, int scales, int row) {
        return Float.float16ToFloat((short) little(data, scales + 2 * row));
    }

    /** Rows of the document, if header, body and chunks agree. */
    private int check(byte[] data, int start, int length) {
        if (length < HEADER || data[start] != 'C' || data[start + 1] != 'C') {
            throw new IllegalArgumentException("these " + length + " bytes are not token codes");
        }
        int version = data[start + 2];
        if (version != WHOLE && version != CHUNKED) {
            throw new IllegalArgumentException("token codes have version " + version + ", shards read " + WHOLE + " and " + CHUNKED);
        }
        if (data[start + 3] != INT8) {
            throw new IllegalArgumentException(
                "token codes use codec " + data[start + 3] + ", which shards do not read: run cherche backfill, or search with maxsim sidecar"
            );
        }
        int found = little(data, start + 4);
        long count = wide(data, start + 6);
        int body = version == CHUNKED ? length - trailer(data, start, length, count) : length;
        long expected = HEADER + count * (2 + found);
        if (body != expected) {
            throw new IllegalArgumentException("token codes are damaged: " + expected + " bytes announced, " + body + " present");
        }
        if (found != dim) {
            throw new IllegalArgumentException(
                "token codes have " + found + " dimensions, " + dim + " are wanted: they come from another reranker"
            );
        }
        for (int row = 0; row < count; row++) {
            if ((data[start + HEADER + 2 * row + 1] & 0xff) > 0x7b) {
                throw new IllegalArgumentException("token codes are damaged: a scale is negative, infinite or NaN");
            }
        }
        return (int) count;
    }

    /** Bytes behind the body of a document that was cut into chunks: the rows of each, and how many there are. */
    private static int trailer(byte[] data, int start, int length, long rowsOfDocument) {
        int chunks = little(data, start + length - 2);
        int bytes = 2 + 4 * chunks;
        if (chunks < 2 || length - bytes < HEADER) {
            throw new IllegalArgumentException("token codes are damaged: " + chunks + " chunks announced in " + length + " bytes");
        }
        long sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++) {
            sum += wide(data, start + length - bytes + 4 * chunk);
        }
        if (sum != rowsOfDocument) {
            throw new IllegalArgumentException("token codes are damaged: chunks of " + sum + " rows, " + rowsOfDocument + " present");
        }
        return bytes;
    }

    private static long wide(byte[] data, int at) {
        return little(data, at) | (long) little(data, at + 2) << 16;
    }

    private static int little(byte[] data, int at) {
        return data[at] & 0xff | (data[at + 1] & 0xff) << 8;
    }
}
