package org.cherche.opensearch;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * MaxSim of one query with stored token codes: for every query token the best document token, summed (Khattab and
 * Zaharia 2020, eq. 3). Scores equal those of the sidecar, see {@code tests/contract/maxsim.json}.
 *
 * <p>Query tokens lie side by side in the lanes of a vector register, so a document token costs one multiply-add per
 * component and block of query tokens, and no sum across lanes until the end.
 *
 * <p>Needs {@code jdk.incubator.vector}: check {@link MaxSimPhase#isAvailable} before loading this class.
 */
final class MaxSim {

    private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
    private static final int LANES = SPECIES.length();
    /** Query tokens of one block: two registers. */
    private static final int BLOCK = 2 * LANES;
    /** Document tokens that share one read of the query. */
    private static final int ROWS = 4;
    /** Document tokens that are decoded at once, a multiple of ROWS: few enough to stay in the first-level cache. */
    private static final int DECODED = 32;

    private final int tokens;
    private final int dim;
    private final int width;
    /** The query, component by component: dim rows of width lanes. */
    private final float[] query;
    /** Decoded document tokens, one row of dim floats each, and their factors. */
    private final float[] rows;
    private final float[] factors = new float[DECODED];
    private final float[] best;

    /**
     * @param matrix the query's embeddings, one row of dim floats per token
     */
    MaxSim(float[] matrix, int tokens, int dim) {
        this.tokens = tokens;
        this.dim = dim;
        this.width = (tokens + BLOCK - 1) / BLOCK * BLOCK;
        this.query = new float[dim * width];
        this.rows = new float[DECODED * dim];
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
     * @param data holds the packed codes in {@code [start, start + length)}
     * @return minus infinity where query or document has no tokens
     * @throws IllegalArgumentException saying why the codes cannot be read
     */
    float score(byte[] data, int start, int length) {
        CodesHeader header = CodesHeader.read(data, start, length);
        CodesDecoder decoder = CodesDecoder.of(header.codec());
        check(header, decoder);
        int count = (int) header.tokens();
        decoder.check(data, header.body(), count, dim);
        if (tokens == 0 || count == 0) {
            return Float.NEGATIVE_INFINITY;
        }
        Arrays.fill(best, Float.NEGATIVE_INFINITY);
        for (int first = 0; first < count; first += DECODED) {
            int decoded = Math.min(DECODED, count - first);
            decoder.read(data, header.body(), count, dim, first, decoded, rows, factors);
            int padded = pad(decoded);
            for (int row = 0; row < padded; row += ROWS) {
                for (int block = 0; block < width; block += BLOCK) {
                    compare(block, row);
                }
            }
        }
        float sum = 0;
        for (int token = 0; token < tokens; token++) {
            sum += best[token];
        }
        return sum;
    }

    private void check(CodesHeader header, CodesDecoder decoder) {
        long expected = decoder.bodyBytes(header.tokens(), header.dim());
        if (header.bodyBytes() != expected) {
            throw new IllegalArgumentException(
                "token codes are damaged: the header says " + expected + " bytes, " + header.bodyBytes() + " follow"
            );
        }
        if (header.dim() != dim) {
            throw new IllegalArgumentException(
                "token codes have " + header.dim() + " dimensions, the query has " + dim + ": they come from another reranker"
            );
        }
    }

    /** Repeats the last decoded token up to a multiple of ROWS: a token seen twice changes no maximum. */
    private int pad(int decoded) {
        int padded = (decoded + ROWS - 1) / ROWS * ROWS;
        for (int row = decoded; row < padded; row++) {
            System.arraycopy(rows, (decoded - 1) * dim, rows, row * dim, dim);
            factors[row] = factors[decoded - 1];
        }
        return padded;
    }

    /** Raises the best similarities of a block of query tokens by four document tokens. */
    private void compare(int block, int row) {
        FloatVector zero = FloatVector.zero(SPECIES);
        FloatVector a0 = zero, a1 = zero, b0 = zero, b1 = zero, c0 = zero, c1 = zero, d0 = zero, d1 = zero;
        int first = row * dim;
        for (int component = first, at = block; component < first + dim; component++, at += width) {
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
        float fa = factors[row], fb = factors[row + 1], fc = factors[row + 2], fd = factors[row + 3];
        raise(block, a0.mul(fa), b0.mul(fb), c0.mul(fc), d0.mul(fd));
        raise(block + LANES, a1.mul(fa), b1.mul(fb), c1.mul(fc), d1.mul(fd));
    }

    private void raise(int at, FloatVector a, FloatVector b, FloatVector c, FloatVector d) {
        a.max(b).max(c.max(d)).max(FloatVector.fromArray(SPECIES, best, at)).intoArray(best, at);
    }
}
