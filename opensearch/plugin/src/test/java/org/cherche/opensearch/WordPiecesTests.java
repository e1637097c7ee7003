package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class WordPiecesTests {

    private static final List<String> PIECES = List.of("[UNK]", "un", "##a", "##aff", "##able", "[SEP]", "sep", "[", "]");

    private static List<Integer> ids(String text) {
        return new WordPieces(PIECES, true, true).ids(text);
    }

    @Test
    @SuppressWarnings("unchecked")
    void idsAreThoseOfTheTokenizersLibrary() {
        var vocabulary = (List<String>) Contract.read("wordpieces.json").get("vocabulary");
        for (Map<String, Object> vector : Contract.vectors("wordpieces.json")) {
            var words = new WordPieces(vocabulary, (boolean) vector.get("lowercase"), (boolean) vector.get("strip_accents"));
            for (Map<String, Object> text : (List<Map<String, Object>>) vector.get("texts")) {
                assertEquals(text.get("ids"), words.ids((String) text.get("text")), vector.get("lowercase") + ": " + text.get("text"));
            }
        }
    }

    @Test
    void takesTheLongestPieces() {
        assertEquals(List.of(1, 3, 4), ids("Unaffable"));
        assertEquals(List.of(1, 2), ids("una"));
    }

    @Test
    void aWordWithAnUnknownPartIsUnknownAsAWhole() {
        assertEquals(List.of(1, 0, 1), ids("un unaffx un"));
        assertEquals(List.of(), new WordPieces(List.of("un"), true, true).ids("unx"), "a vocabulary without [UNK]");
    }

    @Test
    void aVeryLongWordIsUnknown() {
        assertEquals(1 + 99, ids("un" + "a".repeat(98)).size() + 1);
        assertEquals(List.of(0), ids("un" + "a".repeat(99)));
    }

    @Test
    void specialTokensThatSomebodyTypesAreText() {
        assertEquals(List.of(1, 7, 6, 8, 1), ids("un[SEP]un"));
        assertEquals(List.of(7, 6, 8), ids("[sep]"));
        assertEquals(List.of(7, 0, 8), ids("[MASK]"));
    }
}
