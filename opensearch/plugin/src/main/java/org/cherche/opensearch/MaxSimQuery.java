package org.cherche.opensearch;

import cherche.v1.Plugin.QueryEmbeddings;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.Objects;
import org.opensearch.core.common.io.stream.StreamInput;
import org.opensearch.core.common.io.stream.StreamOutput;
import org.opensearch.core.xcontent.XContentBuilder;
import org.opensearch.core.xcontent.XContentParser;
import org.opensearch.search.SearchExtBuilder;

/**
 * The query's token embeddings, sent to the shards for {@link MaxSimPhase}. Clients cannot send them: the scores of
 * chosen vectors would reveal the stored codes.
 */
final class MaxSimQuery extends SearchExtBuilder {

    static final String NAME = "cherche_maxsim_query";

    private final byte[] data;
    private final int tokens;
    private final int dim;
    private final long budgetMillis;

    /**
     * @param data float32, little-endian, one row of dim floats a token
     * @param budgetMillis how long one shard may score
     */
    MaxSimQuery(byte[] data, int tokens, int dim, long budgetMillis) {
        if (data.length != 4L * tokens * dim) {
            throw new IllegalArgumentException(
                "the query embeddings have " + data.length + " bytes, not " + tokens + " x " + dim + " float32"
            );
        }
        this.data = data;
        this.tokens = tokens;
        this.dim = dim;
        this.budgetMillis = budgetMillis;
    }

    MaxSimQuery(StreamInput in) throws IOException {
        this(in.readByteArray(), in.readVInt(), in.readVInt(), in.readVLong());
    }

    static MaxSimQuery of(QueryEmbeddings query, long budgetMillis) {
        return new MaxSimQuery(query.getData().toByteArray(), query.getTokens(), query.getDim(), budgetMillis);
    }

    static MaxSimQuery rejectClients(XContentParser parser) {
        throw new IllegalArgumentException("ext." + NAME + " is internal to the plugin: send ext." + ChercheExt.NAME);
    }

    /**
     * Checks what a sidecar returned.
     *
     * @throws IllegalArgumentException where it gives no similarity
     */
    void check() {
        if (tokens <= 0 || dim <= 0) {
            throw new IllegalArgumentException("the query embeddings are " + tokens + " x " + dim);
        }
        var floats = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer();
        while (floats.hasRemaining()) {
            if (!Float.isFinite(floats.get())) {
                throw new IllegalArgumentException("the query embeddings hold NaN or infinite numbers");
            }
        }
    }

    MaxSim scorer() {
        float[] matrix = new float[tokens * dim];
        ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(matrix);
        return new MaxSim(matrix, tokens, dim);
    }

    long budgetMillis() {
        return budgetMillis;
    }

    @Override
    public String getWriteableName() {
        return NAME;
    }

    @Override
    public void writeTo(StreamOutput out) throws IOException {
        out.writeByteArray(data);
        out.writeVInt(tokens);
        out.writeVInt(dim);
        out.writeVLong(budgetMillis);
    }

    /** For logs only. */
    @Override
    public XContentBuilder toXContent(XContentBuilder builder, Params params) throws IOException {
        return builder.startObject(NAME).field("tokens", tokens).field("dim", dim).endObject();
    }

    @Override
    public int hashCode() {
        return Objects.hash(Arrays.hashCode(data), tokens, dim, budgetMillis);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof MaxSimQuery query
            && Arrays.equals(query.data, data)
            && query.tokens == tokens
            && query.dim == dim
            && query.budgetMillis == budgetMillis;
    }
}
