package org.cherche.opensearch;

import java.util.Comparator;
import java.util.stream.IntStream;
import org.apache.lucene.util.BytesRef;

/** First stage and MaxSim of one window in one score. The same numbers as the sidecar's: tests/contract/fusion.json. */
final class Fusion {

    private Fusion() {}

    /** {@code (1 - weight) * first + weight * maxsim}, each scaled over the window; a hit without a score gets 0 there. */
    static double[] convex(double[] first, double[] maxsim, double weight) {
        double[] left = minMax(first);
        double[] right = minMax(maxsim);
        return IntStream.range(0, first.length).mapToDouble(hit -> (1.0 - weight) * left[hit] + weight * right[hit]).toArray();
    }

    /** Scaled to [0, 1] over the finite values; equal values become 1, what is not finite 0. */
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

    /** Positions by falling score, ties by id in code point order. */
    static int[] order(double[] scores, String[] ids) {
        Comparator<Integer> byScore = Comparator.comparingDouble(place -> -scores[place]);
        return IntStream.range(0, scores.length)
            .boxed()
            .sorted(byScore.thenComparing(place -> new BytesRef(ids[place])))
            .mapToInt(Integer::intValue)
            .toArray();
    }
}
