package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class Int8CodesTests {

    private final Int8Codes codes = new Int8Codes();

    /** One byte of something else, then three tokens of two dimensions with the scales 1, 0.5 and 65504. */
    private static final byte[] DATA = { 9, 0, 0x3c, 0, 0x38, -1, 0x7b, 127, -127, 1, -2, 0, 3 };

    @Test
    void readsTokensAndScales() {
        float[] values = new float[6];
        float[] factors = new float[3];
        codes.read(DATA, 1, 3, 2, 0, 3, values, factors);
        assertArrayEquals(new float[] { 127, -127, 1, -2, 0, 3 }, values);
        assertArrayEquals(new float[] { 1, 0.5f, 65504 }, factors);
    }

    @Test
    void readsTokensInTheMiddle() {
        float[] values = { 8, 8, 8, 8 };
        float[] factors = { 8, 8 };
        codes.read(DATA, 1, 3, 2, 1, 1, values, factors);
        assertArrayEquals(new float[] { 1, -2, 8, 8 }, values);
        assertArrayEquals(new float[] { 0.5f, 8 }, factors);
    }

    @Test
    void aTokenTakesOneByteForEachDimensionAndTwoForItsScale() {
        assertEquals(DATA.length - 1, codes.bodyBytes(3, 2));
        assertEquals(0xffffffffL * 65_537, codes.bodyBytes(0xffffffffL, 65_535));
    }

    @Test
    void rejectsAScaleThatIsNoScale() {
        assertDoesNotThrow(() -> codes.check(DATA, 1, 3, 2));
        for (int high : new int[] { 0x7c, 0x7e, 0x80, 0xbc, 0xff }) {
            byte[] damaged = DATA.clone();
            damaged[6] = (byte) high;
            var error = assertThrows(IllegalArgumentException.class, () -> codes.check(damaged, 1, 3, 2));
            assertTrue(error.getMessage().contains("a scale is negative, infinite or NaN"), error.getMessage());
            assertDoesNotThrow(() -> codes.check(damaged, 1, 2, 2));
        }
    }
}
