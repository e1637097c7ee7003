package org.cherche.opensearch;

/**
 * Header of the token codes of one document, checked against the bytes that follow it.
 *
 * <p>Integers are little-endian: {@code "CC" | version u8 | codec u8 | dim u16 | tokens u32 | body}. Version 2 adds a
 * trailer behind the body for a document that was cut into chunks: {@code rows u32 of each chunk | chunks u16}. MaxSim
 * does not need the chunks, because the best token of a document is the best of all its chunks.
 *
 * @param codec number of the codec that wrote the body, see {@link CodesDecoder}
 * @param dim components of a token
 * @param tokens rows of the body
 * @param body position of the first byte of the body
 * @param bodyBytes length of the body
 */
record CodesHeader(int codec, int dim, long tokens, int body, int bodyBytes) {

    private static final int BYTES = 10;
    private static final int WHOLE = 1;
    private static final int CHUNKED = 2;

    /**
     * Reads the codes at {@code data[start, start + length)}.
     *
     * @throws IllegalArgumentException where the bytes are not codes, are truncated or have an unknown version
     */
    static CodesHeader read(byte[] data, int start, int length) {
        if (length < BYTES || data[start] != 'C' || data[start + 1] != 'C') {
            throw new IllegalArgumentException("these " + length + " bytes are not token codes");
        }
        int version = data[start + 2];
        if (version != WHOLE && version != CHUNKED) {
            throw new IllegalArgumentException("token codes have version " + version + ", shards read " + WHOLE + " and " + CHUNKED);
        }
        long tokens = uint32(data, start + 6);
        int trailer = version == CHUNKED ? trailerBytes(data, start, length, tokens) : 0;
        return new CodesHeader(data[start + 3] & 0xff, uint16(data, start + 4), tokens, start + BYTES, length - BYTES - trailer);
    }

    private static int trailerBytes(byte[] data, int start, int length, long tokens) {
        int chunks = uint16(data, start + length - 2);
        int bytes = 2 + 4 * chunks;
        if (chunks < 2 || length - bytes < BYTES) {
            throw new IllegalArgumentException("token codes are damaged: a trailer of " + chunks + " chunks in " + length + " bytes");
        }
        long sum = 0;
        for (int chunk = 0; chunk < chunks; chunk++) {
            sum += uint32(data, start + length - bytes + 4 * chunk);
        }
        if (sum != tokens) {
            throw new IllegalArgumentException("token codes are damaged: the chunks have " + sum + " rows, the header says " + tokens);
        }
        return bytes;
    }

    private static long uint32(byte[] data, int at) {
        return uint16(data, at) | (long) uint16(data, at + 2) << 16;
    }

    static int uint16(byte[] data, int at) {
        return data[at] & 0xff | (data[at + 1] & 0xff) << 8;
    }
}
