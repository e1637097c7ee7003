package org.cherche.opensearch;

import java.text.Normalizer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * Tokenizes a text as BERT's tokenizers do: clean it, separate CJK characters, lower-case and strip accents if the model
 * does, split at white space and punctuation, then take the longest pieces in the vocabulary ({@code
 * tests/contract/wordpieces.json}).
 */
final class WordPieces {

    private static final String UNKNOWN = "[UNK]";
    private static final String CONTINUED = "##";
    private static final int LONGEST_WORD = 100;

    private final Map<String, Integer> vocabulary = new HashMap<>();
    private final boolean lowercase;
    private final boolean stripAccents;

    WordPieces(List<String> pieces, boolean lowercase, boolean stripAccents) {
        for (int id = 0; id < pieces.size(); id++) {
            vocabulary.putIfAbsent(pieces.get(id), id);
        }
        this.lowercase = lowercase;
        this.stripAccents = stripAccents;
    }

    /** Ids in the order of the text, without the tokens that frame a query; {@code [MASK]} and the like are text. */
    List<Integer> ids(String text) {
        List<Integer> ids = new ArrayList<>();
        var word = new StringBuilder();
        normalized(text).codePoints().forEach(character -> {
            boolean isApart = isPunctuation(character);
            if (isApart || isBlank(character)) {
                pieces(word, ids);
            }
            if (isApart) {
                pieces(word.appendCodePoint(character), ids);
            } else if (!isBlank(character)) {
                word.appendCodePoint(character);
            }
        });
        pieces(word, ids);
        return ids;
    }

    private String normalized(String text) {
        var clean = new StringBuilder();
        text.codePoints().filter(character -> !isDropped(character)).forEach(character -> {
            if (isCjk(character)) {
                clean.append(' ').appendCodePoint(character).append(' ');
            } else {
                clean.appendCodePoint(character);
            }
        });
        String result = clean.toString();
        if (stripAccents) {
            var bare = new StringBuilder();
            Normalizer.normalize(result, Normalizer.Form.NFD)
                .codePoints()
                .filter(character -> Character.getType(character) != Character.NON_SPACING_MARK)
                .forEach(bare::appendCodePoint);
            result = bare.toString();
        }
        return lowercase ? lower(result) : result;
    }

    /** Character by character: unlike in Java, the case of a letter does not depend on its neighbours (final sigma). */
    private static String lower(String text) {
        var lower = new StringBuilder();
        text.codePoints().forEach(character -> lower.append(Character.toString(character).toLowerCase(Locale.ROOT)));
        return lower.toString();
    }

    /** Appends the ids of a word and clears it. */
    private void pieces(StringBuilder word, List<Integer> ids) {
        if (word.isEmpty()) {
            return;
        }
        int[] characters = word.codePoints().toArray();
        word.setLength(0);
        int kept = ids.size();
        boolean isKnown = characters.length <= LONGEST_WORD;
        for (int start = 0; isKnown && start < characters.length;) {
            int end = characters.length;
            Integer id = null;
            for (; end > start && id == null; end--) {
                id = vocabulary.get((start > 0 ? CONTINUED : "") + new String(characters, start, end - start));
            }
            isKnown = id != null;
            start = end + 1;
            ids.add(id);
        }
        if (!isKnown) {
            ids.subList(kept, ids.size()).clear();
            if (vocabulary.containsKey(UNKNOWN)) {
                ids.add(vocabulary.get(UNKNOWN));
            }
        }
    }

    private static boolean isBlank(int character) {
        return character == '\t' || character == '\n' || character == '\r' || Character.isSpaceChar(character);
    }

    private static boolean isDropped(int character) {
        if (character == '\t' || character == '\n' || character == '\r') {
            return false;
        }
        return character == 0xfffd || switch (Character.getType(character)) {
            case Character.CONTROL, Character.FORMAT, Character.UNASSIGNED, Character.PRIVATE_USE, Character.SURROGATE -> true;
            default -> false;
        };
    }

    private static boolean isPunctuation(int character) {
        if (character < 128) {
            return character > ' ' && character != 127 && !Character.isLetterOrDigit(character);
        }
        return switch (Character.getType(character)) {
            case Character.CONNECTOR_PUNCTUATION, Character.DASH_PUNCTUATION, Character.START_PUNCTUATION,
                Character.END_PUNCTUATION, Character.INITIAL_QUOTE_PUNCTUATION, Character.FINAL_QUOTE_PUNCTUATION,
                Character.OTHER_PUNCTUATION -> true;
            default -> false;
        };
    }

    private static boolean isCjk(int character) {
        return within(character, 0x4e00, 0x9fff)
            || within(character, 0x3400, 0x4dbf)
            || within(character, 0x20000, 0x2a6df)
            || within(character, 0x2a700, 0x2b73f)
            || within(character, 0x2b740, 0x2b81f)
            || within(character, 0x2b920, 0x2ceaf)
            || within(character, 0xf900, 0xfaff)
            || within(character, 0x2f800, 0x2fa1f);
    }

    private static boolean within(int character, int first, int last) {
        return character >= first && character <= last;
    }
}
