package org.cherche.opensearch;

import java.util.Comparator;
import java.util.stream.IntStream;
import org.apache.lucene.util.BytesRef;

/** Fuses first-stage and MaxSim scores of one window, exactly as the sidecar does: {@code tests/contract/fusion.json}. */
final class Fusion {

    private Fusion() {}

    /** {@code (1 - weight) * first + weight * maxsim}, each min-max scaled over the window; a missing score counts as 0. */
    static double[] convex(double[] first, double[] maxsim, double weight) {
        double[] left = minMax(first);
        double[] right = minMax(maxsim);
        return IntStream.range(0, first.length).mapToDouble(hit -> (1.0 - weight) * left[hit] + weight * right[hit]).toArray();
    }

    /**
     * Score of a hit below the window, less than any fused one: {@code -1 / (1 + first)}. It falls with the first stage's
     * score, and pages that were requested one by one agree about it, since it needs nothing of the window.
     */
    static double below(double first) {
        return -1.0 / (1.0 + first);
    }

    /** Scales the finite values to [0, 1]: all 1 if they are equal; values that are not finite become 0. */
    static double[] minMax(double[] values) {
        double low = Double.POSITIVE_INFINITY;
        double high = Double.NEGATIVE_INFINITY;
        for (double value : values) {
            if (Double.isFinite(value)) {
                low = Math.min(low, value);
                high = Math.max(high, value);
            }
        }
        double[] scaled = new double[values.length];
        for (int place = 0; place < values.length; place++) {
            if (Double.isFinite(values[place])) {
                scaled[place] = high > low ? (values[place] - low) / (high - low) : 1.0;
            }
        }
        return scaled;
    }

    /** Positions in descending order of score, ties by id in code point order. */
    static int[] order(double[] scores, String[] ids) {
        Comparator<Integer> byScore = Comparator.comparingDouble(place -> -scores[place]);
        return IntStream.range(0, scores.length)
            .boxed()
            .sorted(byScore.thenComparing(place -> new BytesRef(ids[place])))
            .mapToInt(Integer::intValue)
            .toArray();
    }
}
