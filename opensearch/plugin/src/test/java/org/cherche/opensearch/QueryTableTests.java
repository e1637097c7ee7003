package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import cherche.v1.Plugin.GetQueryTableResponse;
import cherche.v1.Plugin.PrepareQueryResponse;
import cherche.v1.Plugin.TokenizerProbe;
import com.google.protobuf.ByteString;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;

class QueryTableTests {

    private static final Map<String, Object> CONTRACT = Contract.read("wordpieces.json");

    @SuppressWarnings("unchecked")
    private static List<String> vocabulary() {
        return (List<String>) CONTRACT.get("vocabulary");
    }

    @SuppressWarnings("unchecked")
    private static List<Map<String, Object>> texts(Map<String, Object> vector) {
        return (List<Map<String, Object>>) vector.get("texts");
    }

    @SuppressWarnings("unchecked")
    private static List<Integer> ids(Map<String, Object> text) {
        return (List<Integer>) text.get("ids");
    }

    /** A table whose queries are framed by the first two ids. */
    private static GetQueryTableResponse table(List<String> pieces, float[] weights, List<TokenizerProbe> probes) {
        var bytes = ByteBuffer.allocate(4 * weights.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(weights);
        return GetQueryTableResponse.newBuilder()
            .addAllVocabulary(pieces)
            .addAllFeatures(pieces)
            .setWeights(ByteString.copyFrom(bytes))
            .addFrame(0)
            .addFrame(1)
            .setMaxPieces(4)
            .setSparseBoost(0.5)
            .addAllProbes(probes)
            .build();
    }

    @Test
    void theProbesDecideTheVariantOfWordPieces() {
        for (Map<String, Object> vector : Contract.vectors("wordpieces.json")) {
            List<TokenizerProbe> probes = texts(vector).stream()
                .map(text -> {
                    var distinct = new TreeSet<>(ids(text));
                    distinct.removeAll(List.of(0, 1));
                    return TokenizerProbe.newBuilder().setText((String) text.get("text")).addAllIds(distinct).build();
                })
                .toList();
            var response = table(vocabulary(), new float[vocabulary().size()], probes).toBuilder().setMaxPieces(1000);
            assertNotNull(QueryTable.of(response.build()));
            response.addProbes(TokenizerProbe.newBuilder().setText("neural").addIds(7));
            assertNull(QueryTable.of(response.build()), "no variant passes every probe");
        }
    }

    @Test
    void aClauseHoldsEachTermOnce() {
        List<String> pieces = List.of("[CLS]", "[SEP]", "red", "car", "##s", "of");
        QueryTable table = QueryTable.of(table(pieces, new float[] { 9, 9, 1.5f, 2.25f, 0.1f, 0 }, List.of()));
        PrepareQueryResponse response = table.prepare("Red CARS of", null, 10);
        assertEquals(
            "{\"bool\":{\"should\":["
                + "{\"rank_feature\":{\"field\":\"cherche_weights.car\",\"linear\":{},\"boost\":1.125}},"
                + "{\"rank_feature\":{\"field\":\"cherche_weights.red\",\"linear\":{},\"boost\":0.75}},"
                + "{\"rank_feature\":{\"field\":\"cherche_weights.##s\",\"linear\":{},\"boost\":0.05000000074505806}}"
                + "]}}",
            response.getClauseJson().toStringUtf8()
        );
        assertEquals(3, response.getTerms());
        PrepareQueryResponse cut = table.prepare("of red red red car", 2.0, 1);
        assertEquals(List.of(1, 0), List.of(cut.getTerms(), cut.getTermsCut()), "only four pieces are read, so the car is cut off");
        assertTrue(cut.getClauseJson().toStringUtf8().contains("\"boost\":3.0}}"), "the caller's boost, in the weight");
        assertEquals(0, table.prepare("[SEP] unheard", null, 10).getTerms());
        assertEquals("", table.prepare("", null, 10).getClauseJson().toStringUtf8());
    }

    @Test
    @SuppressWarnings("unchecked")
    void theBoostIsPartOfEachWeight() {
        for (Map<String, Object> vector : Contract.vectors("clauses.json")) {
            var terms = (List<Map<String, Object>>) vector.get("terms");
            List<String> pieces = new ArrayList<>(List.of("[CLS]", "[SEP]"));
            List<String> features = new ArrayList<>(pieces);
            float[] weights = new float[pieces.size() + terms.size()];
            for (Map<String, Object> term : terms) {
                weights[pieces.size()] = ((Number) term.get("weight")).floatValue();
                pieces.add((String) term.get("token"));
                features.add((String) term.get("feature"));
            }
            QueryTable table = QueryTable.of(
                table(pieces, weights, List.of()).toBuilder().clearFeatures().addAllFeatures(features).setMaxPieces(100).build()
            );
            // A piece that continues a word follows one.
            String text = String.join(" ", pieces.subList(2, pieces.size())).replace(" ##", "");
            PrepareQueryResponse response = table.prepare(text, (Double) vector.get("boost"), 100);
            Map<String, Object> clause = Contract.parse(response.getClauseJson().toStringUtf8());
            assertEquals(vector.get("clause"), clause, (String) vector.get("name"));
        }
    }

    @Test
    void punctuationIsNothingToLookFor() {
        for (Map<String, Object> vector : Contract.vectors("words.json")) {
            assertEquals(vector.get("has_words"), QueryTable.hasWords((String) vector.get("text")), vector.toString());
        }
    }
}
