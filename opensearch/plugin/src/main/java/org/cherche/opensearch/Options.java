package org.cherche.opensearch;

import cherche.v1.Search.QueryMode;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.function.Function;

/**
 * How a search becomes hybrid: a pipeline's options, or a request's own under {@code ext.cherche}, which override them.
 *
 * @param text the query text; null takes it from the query's first match
 * @param mode whether anything is done
 * @param sample share of searches that shadow mode looks at
 * @param matchSet which documents may be hits
 * @param queryMode how the text becomes term weights
 * @param queryTerms terms kept by the query mode pruned; 0 for the sidecar's default
 * @param sparseBoost factor of the sparse clause; null for the index's setting
 * @param rerank whether more hits than the page's are fetched for cherche_rerank, which cuts them again
 * @param window hits to rerank; 0 for the index's setting
 * @param weight share of MaxSim; null for the index's setting
 * @param maxsim who scores the window
 */
record Options(
    String text,
    Mode mode,
    double sample,
    MatchSet matchSet,
    QueryMode queryMode,
    int queryTerms,
    Double sparseBoost,
    boolean rerank,
    int window,
    Double weight,
    Scorer maxsim
) {

    static final Options DEFAULTS =
        new Options(null, Mode.ON, 1.0, MatchSet.AUTO, QueryMode.QUERY_MODE_FULL, 0, null, false, 0, null, Scorer.SHARDS);
    static final int MAX_WINDOW = 1_000;
    private static final Set<String> KEYS = Set.of(
        "text",
        "mode",
        "sample",
        "match_set",
        "query_mode",
        "query_terms",
        "sparse_boost",
        "rerank",
        "rerank_window",
        "rerank_weight",
        "maxsim"
    );

    enum Mode {
        OFF,
        SHADOW,
        ON
    }

    enum MatchSet {
        AUTO,
        LEXICAL,
        UNION
    }

    enum Scorer {
        /** The shards that hold the codes; the sidecar where they cannot. */
        SHARDS,
        SIDECAR
    }

    /**
     * Takes the known keys out of a map.
     *
     * @throws IllegalArgumentException naming the key whose value is wrong
     */
    Options override(Map<String, Object> values) {
        return new Options(
            take(values, "text", text, String::valueOf),
            take(values, "mode", mode, value -> Mode.valueOf(upper(value))),
            take(values, "sample", sample, value -> within(number(value), 0, 1)),
            take(values, "match_set", matchSet, value -> MatchSet.valueOf(upper(value))),
            take(values, "query_mode", queryMode, value -> QueryMode.valueOf("QUERY_MODE_" + upper(value))),
            take(values, "query_terms", queryTerms, value -> (int) within(number(value), 0, 1024)),
            take(values, "sparse_boost", sparseBoost, value -> within(number(value), Double.MIN_NORMAL, 1e9)),
            take(values, "rerank", rerank, Options::flag),
            take(values, "rerank_window", window, value -> (int) within(number(value), 0, MAX_WINDOW)),
            take(values, "rerank_weight", weight, value -> within(number(value), 0, 1)),
            take(values, "maxsim", maxsim, value -> Scorer.valueOf(upper(value)))
        );
    }

    /**
     * The options of one request.
     *
     * @throws IllegalArgumentException also for an unknown key
     */
    Options of(ChercheExt ext) {
        if (ext == null) {
            return this;
        }
        Map<String, Object> values = new HashMap<>(ext.values());
        Options options = override(values);
        if (!values.isEmpty()) {
            throw new IllegalArgumentException("ext.cherche knows " + KEYS + ", not " + values.keySet());
        }
        return options;
    }

    private static <T> T take(Map<String, Object> values, String key, T otherwise, Function<Object, T> read) {
        Object value = values.remove(key);
        if (value == null) {
            return otherwise;
        }
        try {
            return read.apply(value);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("[" + key + "] cannot be [" + value + "]", e);
        }
    }

    private static String upper(Object value) {
        return String.valueOf(value).toUpperCase(Locale.ROOT);
    }

    private static double number(Object value) {
        return value instanceof Number number ? number.doubleValue() : Double.parseDouble(String.valueOf(value));
    }

    private static double within(double value, double least, double most) {
        if (value >= least && value <= most) {
            return value;
        }
        throw new IllegalArgumentException("not within [" + least + ", " + most + "]");
    }

    private static boolean flag(Object value) {
        return switch (String.valueOf(value)) {
            case "true" -> true;
            case "false" -> false;
            default -> throw new IllegalArgumentException("neither true nor false");
        };
    }
}
