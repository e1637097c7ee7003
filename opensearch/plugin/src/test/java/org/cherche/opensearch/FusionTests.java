package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class FusionTests {

    private static final double NONE = Double.NEGATIVE_INFINITY;

    @Test
    void scoresAndOrderAreTheSidecars() {
        for (Map<String, Object> vector : Contract.vectors("fusion.json")) {
            double weight = ((Number) vector.get("weight")).doubleValue();
            double[] scores = Fusion.convex(Contract.numbers(vector.get("first")), Contract.numbers(vector.get("maxsim")), weight);
            assertArrayEquals(Contract.numbers(vector.get("scores")), scores, 1e-15);
            String[] ids = ((List<?>) vector.get("ids")).toArray(String[]::new);
            int[] wanted = ((List<?>) vector.get("order")).stream().mapToInt(place -> (int) place).toArray();
            assertArrayEquals(wanted, Fusion.order(scores, ids));
        }
    }

    @Test
    void hitsBelowTheWindowScoreAsTheSidecars() {
        for (Object one : (List<?>) Contract.read("fusion.json").get("below")) {
            var vector = (Map<?, ?>) one;
            double first = ((Number) vector.get("first")).doubleValue();
            assertEquals(((Number) vector.get("score")).doubleValue(), Fusion.below(first), 1e-15);
        }
    }

    @Test
    void scalesTheFiniteValues() {
        assertArrayEquals(new double[] { 0.25, 0, 1, 0 }, Fusion.minMax(new double[] { 3, 2, 6, NONE }));
        assertArrayEquals(new double[] { 1, 0, 1 }, Fusion.minMax(new double[] { 7, Double.NaN, 7 }));
        assertArrayEquals(new double[] { 0, 0 }, Fusion.minMax(new double[] { NONE, NONE }));
        assertArrayEquals(new double[0], Fusion.minMax(new double[0]));
    }

    @Test
    void tiesAreBrokenByCodePoints() {
        // as UTF-16, the emoji's surrogate would come before the private-use character
        assertArrayEquals(new int[] { 2, 1, 0 }, Fusion.order(new double[] { 1, 1, 2 }, new String[] { "😀", "\ue000", "z" }));
    }
}
