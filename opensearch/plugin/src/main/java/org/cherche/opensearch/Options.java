package org.cherche.opensearch;

import cherche.v1.Search.QueryMode;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * Options of {@code cherche_query}: those of the pipeline, overridden by those of the request under {@code ext.cherche}.
 *
 * @param text the query text; null takes it from the first match clause
 * @param mode on, off, or shadow
 * @param sample share of searches that shadow mode repeats
 * @param matchSet which clauses decide the hits
 * @param queryMode how the text is expanded into term weights
 * @param queryTerms number of terms that query mode pruned keeps; 0 for the sidecar's default
 * @param sparseBoost factor of the sparse clause; null for the index's setting
 * @param rerank whether the whole window is fetched for cherche_rerank, which reduces it to the page
 * @param window number of hits to rerank; 0 for the index's setting
 * @param weight weight of MaxSim in the fused score; null for the index's setting
 * @param maxsim where MaxSim is computed
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
        /** On the shards that store the codes; on the sidecar where shards cannot read them. */
        SHARDS,
        SIDECAR
    }

    /**
     * Removes the known keys from a map and applies their values.
     *
     * @throws IllegalArgumentException naming the key with an invalid value
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
     * @throws IllegalArgumentException for an invalid value or an unknown key
     */
    Options of(ChercheExt ext) {
        if (ext == null) {
            return this;
        }
        Map<String, Object> values = new HashMap<>(ext.values());
        Options options = override(values);
        if (!values.isEmpty()) {
            throw new IllegalArgumentException("ext.cherche has unknown keys " + values.keySet() + "; known are " + new TreeSet<>(KEYS));
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
            throw new IllegalArgumentException("[" + key + "] has the invalid value [" + value + "]", e);
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
        throw new IllegalArgumentException("it must be within [" + least + ", " + most + "]");
    }

    private static boolean flag(Object value) {
        return switch (String.valueOf(value)) {
            case "true" -> true;
            case "false" -> false;
            default -> throw new IllegalArgumentException("it must be true or false");
        };
    }
}
