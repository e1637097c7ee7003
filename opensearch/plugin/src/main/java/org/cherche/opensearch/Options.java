package org.cherche.opensearch;

import cherche.v1.Search.QueryMode;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Options of {@code cherche_query}: those of the pipeline, overridden by those of the request under {@code ext.cherche}.
 *
 * @param text the query text; null takes it from the first match clause
 * @param mode on, off, or shadow
 * @param sample share of searches that shadow mode repeats
 * @param matchSet which clauses decide the hits
 * @param queryMode how the text is expanded into term weights
 * @param queryTerms number of terms that query mode pruned keeps; 0 for the sidecar's default
 * @param firstTerms number of heaviest terms that find candidates, which all terms then score; 0 where all terms find hits,
 *     null for the index's setting
 * @param candidates hits of a shard that all terms score where there are first terms
 * @param sparseBoost factor of the sparse clause; null for the index's setting
 * @param rerank whether the whole window is fetched for cherche_rerank, which reduces it to the page
 * @param window number of hits to rerank; 0 for the index's setting
 * @param weight weight of MaxSim in the fused score; null for the index's setting
 * @param maxsim where MaxSim is computed
 * @param passages which passages the hits of the page get
 */
record Options(
    String text,
    Mode mode,
    double sample,
    MatchSet matchSet,
    QueryMode queryMode,
    int queryTerms,
    Integer firstTerms,
    int candidates,
    Double sparseBoost,
    boolean rerank,
    int window,
    Double weight,
    Scorer maxsim,
    PassageOptions passages
) {

    static final Options DEFAULTS = new Options(
        null,
        Mode.ON,
        1.0,
        MatchSet.AUTO,
        QueryMode.QUERY_MODE_FULL,
        0,
        null,
        Phases.CANDIDATES,
        null,
        false,
        0,
        null,
        Scorer.SHARDS,
        PassageOptions.NONE
    );
    /** As {@code index.max_rescore_window} is by default. */
    private static final int MAX_CANDIDATES = 10_000;
    static final int MAX_WINDOW = 1_000;
    private static final List<QueryMode> QUERY_MODES =
        List.of(QueryMode.QUERY_MODE_FULL, QueryMode.QUERY_MODE_PRUNED, QueryMode.QUERY_MODE_DOC_ONLY);
    private static final Set<String> KEYS = Set.of(
        "text",
        "mode",
        "sample",
        "match_set",
        "query_mode",
        "query_terms",
        "first_terms",
        "candidates",
        "sparse_boost",
        "rerank",
        "rerank_window",
        "rerank_weight",
        "maxsim",
        "passages"
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
            take(values, "text", text, Options::text),
            take(values, "mode", mode, value -> named(value, List.of(Mode.values()), "")),
            take(values, "sample", sample, value -> within(number(value), 0, 1)),
            take(values, "match_set", matchSet, value -> named(value, List.of(MatchSet.values()), "")),
            take(values, "query_mode", queryMode, value -> named(value, QUERY_MODES, "QUERY_MODE_")),
            take(values, "query_terms", queryTerms, value -> whole(value, 1024)),
            take(values, "first_terms", firstTerms, value -> whole(value, 1024)),
            take(values, "candidates", candidates, value -> (int) within(whole(value, MAX_CANDIDATES), 1, MAX_CANDIDATES)),
            take(values, "sparse_boost", sparseBoost, value -> within(number(value), Double.MIN_NORMAL, 1e9)),
            take(values, "rerank", rerank, Options::flag),
            take(values, "rerank_window", window, value -> whole(value, MAX_WINDOW)),
            take(values, "rerank_weight", weight, value -> within(number(value), 0, 1)),
            take(values, "maxsim", maxsim, value -> named(value, List.of(Scorer.values()), "")),
            take(values, "passages", passages, PassageOptions::read)
        );
    }

    /**
     * The options of one request.
     *
     * @throws IllegalArgumentException for an invalid value, an unknown key, or an option that the others leave without
     *     effect. Options of a pipeline are never refused for that: a request may set what they need.
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
        options.checkEffects(ext.values());
        return options;
    }

    private void checkEffects(Map<String, Object> given) {
        // What the request itself switches off: a pipeline may be switched off while its clients keep their options.
        boolean isOff = given.get("mode") != null && mode == Mode.OFF;
        boolean isUnranked = isOff || given.get("rerank") != null && !rerank;
        boolean isUntouched = given.get("mode") != null && mode != Mode.ON;
        for (String key : new TreeSet<>(given.keySet())) {
            String missing = switch (key) {
                case "mode" -> "";
                case "rerank" -> isOff && rerank ? "mode on or shadow" : "";
                case "rerank_window", "rerank_weight", "maxsim" -> isUnranked ? "a rerank" : "";
                case "passages" -> isUntouched && passages.count() > 0 ? "mode on" : "";
                case "sample" -> mode == Mode.SHADOW ? "" : "mode shadow";
                case "query_terms" -> queryMode == QueryMode.QUERY_MODE_PRUNED ? "" : "query_mode pruned";
                default -> isOff ? "mode on or shadow" : "";
            };
            if (given.get(key) != null && !missing.isEmpty()) {
                throw new IllegalArgumentException("[" + key + "] has no effect without " + missing + ": leave it out, or ask for that");
            }
        }
    }

    private static <T> T take(Map<String, Object> values, String key, T otherwise, Function<Object, T> read) {
        Object value = values.remove(key);
        if (value == null) {
            return otherwise;
        }
        try {
            return read.apply(value);
        } catch (IllegalArgumentException e) {
            throw new IllegalArgumentException("[" + key + "] has the invalid value [" + value + "]: " + e.getMessage(), e);
        }
    }

    private static String text(Object value) {
        if (value instanceof String || value instanceof Number || value instanceof Boolean) {
            return String.valueOf(value);
        }
        throw new IllegalArgumentException("it must be a string");
    }

    /** The constant that a value names in any case, without the prefix of its enum. */
    private static <E extends Enum<E>> E named(Object value, List<E> known, String prefix) {
        String name = prefix + String.valueOf(value).toUpperCase(Locale.ROOT);
        return known.stream().filter(each -> each.name().equals(name)).findFirst().orElseThrow(() -> {
            Stream<String> names = known.stream().map(each -> each.name().substring(prefix.length()).toLowerCase(Locale.ROOT));
            return new IllegalArgumentException("it must be one of " + names.collect(Collectors.joining(", ")));
        });
    }

    private static double number(Object value) {
        try {
            return value instanceof Number number ? number.doubleValue() : Double.parseDouble(String.valueOf(value));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("it must be a number", e);
        }
    }

    static int whole(Object value, int most) {
        double number = within(number(value), 0, most);
        if (number == Math.rint(number)) {
            return (int) number;
        }
        throw new IllegalArgumentException("it must be a whole number");
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
