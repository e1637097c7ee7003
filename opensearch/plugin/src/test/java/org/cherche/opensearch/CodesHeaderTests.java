package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class CodesHeaderTests {

    /** Version 1, codec 7, 258 dimensions, three tokens, a body of two bytes. */
    private static final byte[] WHOLE = bytes('C', 'C', 1, 7, 2, 1, 3, 0, 0, 0, 40, 41);
    /** The same cut into chunks of one and two rows. */
    private static final byte[] CHUNKED = bytes('C', 'C', 2, 7, 2, 1, 3, 0, 0, 0, 40, 41, 1, 0, 0, 0, 2, 0, 0, 0, 2, 0);

    private static byte[] bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int place = 0; place < values.length; place++) {
            bytes[place] = (byte) values[place];
        }
        return bytes;
    }

    private static byte[] with(byte[] data, int place, int value) {
        byte[] changed = data.clone();
        changed[place] = (byte) value;
        return changed;
    }

    private static CodesHeader read(byte[] data) {
        return CodesHeader.read(data, 0, data.length);
    }

    private static void assertRejected(String reason, byte[] data) {
        var error = assertThrows(IllegalArgumentException.class, () -> read(data));
        assertTrue(error.getMessage().contains(reason), error.getMessage());
    }

    @Test
    void readsEveryField() {
        assertEquals(new CodesHeader(7, 258, 3, 10, 2), read(WHOLE));
        assertEquals(new CodesHeader(0xff, 258, 3, 10, 2), read(with(WHOLE, 3, 0xff)));
        assertEquals(0x80000003L, read(with(WHOLE, 9, 0x80)).tokens());
    }

    @Test
    void readsCodesWithinALargerBuffer() {
        byte[] buffer = new byte[WHOLE.length + 7];
        System.arraycopy(WHOLE, 0, buffer, 4, WHOLE.length);
        assertEquals(new CodesHeader(7, 258, 3, 14, 2), CodesHeader.read(buffer, 4, WHOLE.length));
    }

    @Test
    void theBodyOfAChunkedDocumentEndsBeforeItsTrailer() {
        assertEquals(new CodesHeader(7, 258, 3, 10, 2), read(CHUNKED));
    }

    @Test
    void rejectsOtherBytes() {
        assertRejected("these 0 bytes are not token codes", bytes());
        assertRejected("these 9 bytes are not token codes", Arrays.copyOf(WHOLE, 9));
        assertRejected("these 12 bytes are not token codes", with(WHOLE, 0, 'c'));
        assertRejected("these 12 bytes are not token codes", with(WHOLE, 1, 'T'));
        assertRejected("version 0, shards read 1 and 2", with(WHOLE, 2, 0));
        assertRejected("version 3, shards read 1 and 2", with(WHOLE, 2, 3));
    }

    @Test
    void rejectsATrailerThatDoesNotFit() {
        assertRejected("a trailer of 1 chunks", with(CHUNKED, 20, 1));
        assertRejected("a trailer of 3 chunks in 22 bytes", with(CHUNKED, 20, 3));
        assertRejected("the chunks have 4 rows, the header says 3", with(CHUNKED, 12, 2));
    }

    @Test
    void agreesWithTheSidecar() {
        for (Map<String, Object> vector : Contract.vectors("maxsim.json")) {
            byte[] codes = Base64.getDecoder().decode((String) vector.get("codes"));
            CodesHeader header = read(codes);
            assertEquals(List.of(1, vector.get("dim")), List.of(header.codec(), header.dim()));
            assertEquals(header.tokens() * (2 + header.dim()), header.bodyBytes());
        }
    }
}
