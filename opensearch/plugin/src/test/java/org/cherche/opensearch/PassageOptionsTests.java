package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class PassageOptionsTests {

    private static String refused(Object value) {
        return assertThrows(IllegalArgumentException.class, () -> PassageOptions.read(value)).getMessage();
    }

    @Test
    void aNumberIsTheCount() {
        assertEquals(new PassageOptions(2, 0, List.of()), PassageOptions.read(2));
        assertEquals(new PassageOptions(2, 0, List.of()), PassageOptions.read("2"));
        assertEquals(PassageOptions.NONE, PassageOptions.read(0));
    }

    @Test
    void anObjectHasAllOfThem() {
        assertEquals(new PassageOptions(1, 0, List.of()), PassageOptions.read(Map.of()));
        assertEquals(
            new PassageOptions(3, 24, List.of("text", "title")),
            PassageOptions.read(Map.of("count", 3, "size", 24, "fields", List.of("text", "title")))
        );
        assertEquals(List.of("text"), PassageOptions.read(Map.of("fields", "text")).fields());
    }

    @Test
    void whatCannotBeMeantIsRefused() {
        assertEquals("it must be within [0.0, 10.0]", refused(11));
        assertEquals("it must be a whole number", refused(Map.of("count", 1.5)));
        assertEquals("its count must be at least 1", refused(Map.of("count", 0)));
        assertEquals("its size must be at least 1", refused(Map.of("size", 0)));
        assertEquals("it must be within [0.0, 512.0]", refused(Map.of("size", 513)));
        assertEquals("its fields must be names of fields", refused(Map.of("fields", List.of(3))));
        assertEquals("its fields must be names of fields", refused(Map.of("fields", "")));
        assertEquals("it has unknown keys [number]; known are count, fields and size", refused(Map.of("number", 2)));
    }
}
