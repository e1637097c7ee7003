package org.cherche.opensearch;

import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/**
 * Scores the documents of a file as a shard does, round after round: {@code tests.benchmarks.maxsim --java} compiles it
 * with the plugin's classes. Prints milliseconds of CPU of each round behind the warm-up, then each score, a line each.
 */
final class MaxSimOfThePlugin {

    private static final int WARM_UP = 2000;

    public static void main(String[] arguments) throws Exception {
        ByteBuffer in = ByteBuffer.wrap(Files.readAllBytes(Path.of(arguments[0]))).order(ByteOrder.LITTLE_ENDIAN);
        int rounds = Integer.parseInt(arguments[1]), tokens = in.getInt(), dim = in.getInt();
        float[] query = new float[tokens * dim];
        in.asFloatBuffer().get(query);
        in.position(in.position() + 4 * query.length);
        byte[][] documents = new byte[in.getInt()][in.getInt()];
        for (byte[] document : documents) {
            in.get(document);
        }
        var clock = ManagementFactory.getThreadMXBean();
        float[] scores = new float[documents.length];
        for (int round = -WARM_UP; round < rounds; round++) {
            long started = clock.getCurrentThreadCpuTime();
            var scorer = new MaxSim(query, tokens, dim);
            for (int i = 0; i < documents.length; i++) {
                scores[i] = scorer.score(documents[i], 0, documents[i].length);
            }
            if (round >= 0) {
                System.out.printf(Locale.ROOT, "%.4f%n", (clock.getCurrentThreadCpuTime() - started) / 1e6);
            }
        }
        for (float score : scores) {
            System.out.println(score);
        }
    }
}
