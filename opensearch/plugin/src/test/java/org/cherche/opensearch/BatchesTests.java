package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class BatchesTests {

    private static List<List<Integer>> cut(List<Integer> sizes, long bytes, int items) {
        return Batches.cut(sizes, Integer::longValue, bytes, items);
    }

    @Test
    void keepsOrderAndBounds() {
        assertEquals(List.of(List.of(3, 4), List.of(5, 1, 2), List.of(3)), cut(List.of(3, 4, 5, 1, 2, 3), 8, 3));
    }

    @Test
    void anItemThatIsLargerGoesAlone() {
        assertEquals(List.of(List.of(1), List.of(99), List.of(1)), cut(List.of(1, 99, 1), 8, 10));
    }

    @Test
    void nothingIsNoBatch() {
        assertEquals(List.of(), cut(List.of(), 8, 1));
    }

    @Test
    void countsItems() {
        assertEquals(List.of(List.of(0, 0), List.of(0)), cut(List.of(0, 0, 0), 8, 2));
    }
}
