package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class CodesDecoderTests {

    @Test
    void findsADecoderByItsNumber() {
        assertInstanceOf(Int8Codes.class, CodesDecoder.of(1));
        for (CodesDecoder decoder : CodesDecoder.ALL) {
            assertEquals(decoder, CodesDecoder.of(decoder.number()), "two decoders have one number");
        }
    }

    @Test
    void anUnknownNumberNamesTheNextStep() {
        var error = assertThrows(IllegalArgumentException.class, () -> CodesDecoder.of(2));
        assertEquals(
            "token codes use codec 2, shards read int8 only: run cherche backfill, or search with maxsim sidecar",
            error.getMessage()
        );
    }

    @Test
    void knowsTheFormsThatShardsRead() {
        for (String form : List.of("int8", "pool2+int8", "pool16+int8")) {
            assertTrue(CodesDecoder.reads(form), form);
        }
        for (String form : List.of("residual4", "pool2+residual1", "uint8", "", "null", "int8+")) {
            assertFalse(CodesDecoder.reads(form), form);
        }
    }
}
