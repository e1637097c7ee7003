package org.cherche.opensearch;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;
import org.opensearch.common.io.stream.BytesStreamOutput;
import org.opensearch.common.xcontent.json.JsonXContent;
import org.opensearch.core.common.ParsingException;
import org.opensearch.core.rest.RestStatus;
import org.opensearch.core.xcontent.XContentParser;

class ChercheExtTests {

    private final ChercheExt ext = new ChercheExt(Map.of("rerank", true, "rerank_weight", 0.25, "text", "car"));

    @Test
    void survivesTheTransport() throws IOException {
        try (var out = new BytesStreamOutput()) {
            ext.writeTo(out);
            assertEquals(ext, new ChercheExt(out.bytes().streamInput()));
        }
        assertNotEquals(ext, new ChercheExt(Map.of("rerank", true)));
    }

    @Test
    void survivesJson() throws IOException {
        try (var builder = JsonXContent.contentBuilder()) {
            ext.toXContent(builder.startObject(), null).endObject();
            try (var parser = JsonXContent.jsonXContent.createParser(null, null, builder.toString())) {
                assertEquals(Map.of("cherche", ext.values()), parser.map());
            }
            String inner = builder.toString().replaceFirst("\\{\"cherche\":(.*)}", "$1");
            try (var parser = JsonXContent.jsonXContent.createParser(null, null, inner)) {
                assertEquals(ext, ChercheExt.parse(parser));
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = { "[]", "[{\"rerank\": true}]", "\"x\"", "5", "true" })
    void anythingButAnObjectIsABadRequest(String json) throws IOException {
        try (var parser = JsonXContent.jsonXContent.createParser(null, null, json)) {
            var error = assertThrows(ParsingException.class, () -> ChercheExt.parse(parser));
            assertTrue(error.getMessage().startsWith("ext.cherche must be an object of options, not ["), error.getMessage());
            assertEquals(RestStatus.BAD_REQUEST, error.status());
        }
    }

    @Test
    void nullIsReadToItsEnd() throws IOException {
        try (var parser = JsonXContent.jsonXContent.createParser(null, null, "{\"cherche\": null, \"other\": 1}")) {
            parser.nextToken();
            parser.nextToken();
            parser.nextToken();
            assertEquals(Map.of(), ChercheExt.parse(parser).values());
            assertEquals(XContentParser.Token.FIELD_NAME, parser.nextToken());
            assertEquals("other", parser.currentName());
        }
    }

    @Test
    void isFoundAmongOthers() {
        var other = new MaxSimQuery(new byte[4], 1, 1, 1);
        assertSame(ext, ChercheExt.in(List.of(other, ext)));
        assertNull(ChercheExt.in(List.of(other)));
    }
}
