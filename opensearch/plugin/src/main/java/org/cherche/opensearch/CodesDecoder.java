package org.cherche.opensearch;

import java.util.List;
import java.util.stream.Collectors;

/**
 * Reads the body of token codes in one codec. Implementations are stateless and shared by all threads.
 *
 * <p>A codec that shards shall read is one implementation and one entry in {@link #ALL}.
 */
interface CodesDecoder {

    List<CodesDecoder> ALL = List.of(new Int8Codes());

    /** Number of the codec in the header of token codes. */
    int number();

    /** Name of the codec in {@code _meta.cherche.codec}, without pooling. */
    String codec();

    /** Length of a body of so many tokens. */
    long bodyBytes(long tokens, int dim);

    /**
     * Checks a body of the right length before it is read.
     *
     * @throws IllegalArgumentException where it holds what the codec never writes
     */
    void check(byte[] data, int body, int tokens, int dim);

    /**
     * Reads the tokens {@code [first, first + count)}. A component is its entry in {@code values} times the token's
     * factor: the caller multiplies once per similarity instead of once per component.
     *
     * <p>Called once for many tokens: MaxSim makes no virtual call per token.
     *
     * @param values takes one row of {@code dim} floats per token
     * @param factors takes one float per token
     */
    void read(byte[] data, int body, int tokens, int dim, int first, int count, float[] values, float[] factors);

    /**
     * The decoder of a codec number.
     *
     * @throws IllegalArgumentException where shards have none, naming the next step
     */
    static CodesDecoder of(int number) {
        for (CodesDecoder decoder : ALL) {
            if (decoder.number() == number) {
                return decoder;
            }
        }
        throw new IllegalArgumentException(
            "token codes use codec " + number + ", shards read " + names() + " only: run cherche backfill, or search with maxsim sidecar"
        );
    }

    /** Whether shards can read codes of a form as {@code _meta.cherche.codec} names it: {@code int8}, {@code pool2+int8}. */
    static boolean reads(String form) {
        String codec = form.substring(form.lastIndexOf('+') + 1);
        return ALL.stream().anyMatch(decoder -> decoder.codec().equals(codec));
    }

    private static String names() {
        return ALL.stream().map(CodesDecoder::codec).collect(Collectors.joining(", "));
    }
}
