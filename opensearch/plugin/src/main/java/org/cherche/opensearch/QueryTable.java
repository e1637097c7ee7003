package org.cherche.opensearch;

import cherche.v1.Plugin.GetQueryTableResponse;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Plugin.TokenizerProbe;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteOrder;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.opensearch.common.xcontent.XContentFactory;
import org.opensearch.core.common.bytes.BytesReference;

/** Query weights of an inference-free model: gives the response to PrepareQuery without calling the sidecar. */
final class QueryTable {

    private final WordPieces words;
    private final float[] weights;
    private final List<String> features;
    private final Set<Integer> frame;
    private final int maxPieces;
    private final double boost;

    private QueryTable(WordPieces words, GetQueryTableResponse table) {
        this.words = words;
        this.weights = new float[table.getVocabularyCount()];
        table.getWeights().asReadOnlyByteBuffer().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(weights);
        this.features = table.getFeaturesList();
        if (features.size() != weights.length) {
            throw new IllegalArgumentException(features.size() + " features for " + weights.length + " tokens");
        }
        this.frame = new HashSet<>(table.getFrameList());
        this.maxPieces = table.getMaxPieces();
        this.boost = table.getSparseBoost();
    }

    /** The table with the variant of WordPieces that passes every probe; null where none does. */
    static QueryTable of(GetQueryTableResponse table) {
        for (boolean lowercase : new boolean[] { true, false }) {
            for (boolean stripAccents : new boolean[] { lowercase, !lowercase }) {
                var words = new WordPieces(table.getVocabularyList(), lowercase, stripAccents);
                var candidate = new QueryTable(words, table);
                if (table.getProbesList().stream().allMatch(candidate::passes)) {
                    return candidate;
                }
            }
        }
        return null;
    }

    private boolean passes(TokenizerProbe probe) {
        return List.copyOf(terms(probe.getText())).equals(probe.getIdsList());
    }

    /** Distinct ids of a text, in ascending order. */
    private Set<Integer> terms(String text) {
        List<Integer> ids = words.ids(text);
        Set<Integer> terms = new TreeSet<>(ids.subList(0, Math.min(ids.size(), maxPieces)));
        terms.removeAll(frame);
        return terms;
    }

    /** Whether a text has anything to look for ({@code tests/contract/words.json}): punctuation would find almost all. */
    static boolean hasWords(String text) {
        return text.codePoints().anyMatch(point -> switch (Character.getType(point)) {
            case Character.LETTER_NUMBER, Character.OTHER_NUMBER, Character.OTHER_SYMBOL -> true;
            default -> Character.isLetterOrDigit(point);
        });
    }

    /**
     * The sparse clause of a text, without embeddings.
     *
     * @param ownBoost null for the boost of the index
     * @param limit maximum number of clauses; those with the largest weights are kept
     */
    PrepareQueryResponse prepare(String text, Double ownBoost, int limit) {
        Comparator<Integer> heaviest = Comparator.comparingDouble(id -> -weights[id]);
        Set<Integer> terms = hasWords(text) ? terms(text) : Set.of();
        List<Integer> chosen = terms.stream().filter(id -> weights[id] > 0).sorted(heaviest).toList();
        int cut = Math.max(0, chosen.size() - limit);
        List<Integer> kept = cut == 0 ? chosen : chosen.subList(0, limit).stream().sorted().toList();
        var response = PrepareQueryResponse.newBuilder().setTerms(kept.size()).setTermsCut(cut);
        if (!kept.isEmpty()) {
            response.setClauseJson(clause(kept, ownBoost == null ? boost : ownBoost));
        }
        return response.build();
    }

    /** The factor is part of each boost: around the sum it would keep Lucene from merging it with the user's clauses. */
    private ByteString clause(List<Integer> ids, double factor) {
        try (var json = XContentFactory.jsonBuilder()) {
            json.startObject().startObject("bool").startArray("should");
            for (int id : ids) {
                json.startObject().startObject("rank_feature");
                json.field("field", IndexSetup.WEIGHTS + "." + features.get(id)).startObject("linear").endObject();
                json.field("boost", factor * weights[id]).endObject().endObject();
            }
            json.endArray().endObject().endObject();
            return ByteString.copyFrom(BytesReference.toBytes(BytesReference.bytes(json)));
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
