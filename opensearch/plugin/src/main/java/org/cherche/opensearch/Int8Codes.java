package org.cherche.opensearch;

/** Codec int8: {@code float16 scale of each token | int8 components, row by row}. */
final class Int8Codes implements CodesDecoder {

    /** High byte of the largest finite float16; higher ones are infinite, NaN or negative. */
    private static final int LARGEST_HIGH_BYTE = 0x7b;

    @Override
    public int number() {
        return 1;
    }

    @Override
    public String codec() {
        return "int8";
    }

    @Override
    public long bodyBytes(long tokens, int dim) {
        return tokens * (2 + dim);
    }

    @Override
    public void check(byte[] data, int body, int tokens, int dim) {
        for (int token = 0; token < tokens; token++) {
            if ((data[body + 2 * token + 1] & 0xff) > LARGEST_HIGH_BYTE) {
                throw new IllegalArgumentException("token codes are damaged: a scale is negative, infinite or NaN");
            }
        }
    }

    @Override
    public void read(byte[] data, int body, int tokens, int dim, int first, int count, float[] values, float[] factors) {
        int from = body + 2 * tokens + first * dim;
        for (int place = 0; place < count * dim; place++) {
            values[place] = data[from + place];
        }
        for (int token = 0; token < count; token++) {
            factors[token] = Float.float16ToFloat((short) CodesHeader.uint16(data, body + 2 * (first + token)));
        }
    }
}
