package org.cherche.opensearch;

import java.io.IOException;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.opensearch.core.common.ParsingException;
import org.opensearch.core.common.io.stream.StreamInput;
import org.opensearch.core.common.io.stream.StreamOutput;
import org.opensearch.core.xcontent.XContentBuilder;
import org.opensearch.core.xcontent.XContentParser;
import org.opensearch.search.SearchExtBuilder;

/** {@code ext.cherche}: options in a request, statuses and counts in a response. */
final class ChercheExt extends SearchExtBuilder {

    static final String NAME = "cherche";

    private final Map<String, Object> values;

    ChercheExt(Map<String, Object> values) {
        this.values = values;
    }

    ChercheExt(StreamInput in) throws IOException {
        this.values = in.readMap();
    }

    /**
     * Reads the options of a request.
     *
     * @throws ParsingException for anything but an object; null has no options
     */
    static ChercheExt parse(XContentParser parser) throws IOException {
        XContentParser.Token token = parser.currentToken() == null ? parser.nextToken() : parser.currentToken();
        if (token != XContentParser.Token.START_OBJECT && token != XContentParser.Token.VALUE_NULL) {
            throw new ParsingException(parser.getTokenLocation(), "ext.cherche must be an object of options, not [" + token + "]");
        }
        return new ChercheExt(parser.map());
    }

    /** The {@code ext.cherche} in a list; null where there is none. */
    static ChercheExt in(List<SearchExtBuilder> exts) {
        for (SearchExtBuilder ext : exts) {
            if (ext instanceof ChercheExt own) {
                return own;
            }
        }
        return null;
    }

    Map<String, Object> values() {
        return values;
    }

    @Override
    public String getWriteableName() {
        return NAME;
    }

    @Override
    public void writeTo(StreamOutput out) throws IOException {
        out.writeMap(values);
    }

    @Override
    public XContentBuilder toXContent(XContentBuilder builder, Params params) throws IOException {
        return builder.field(NAME, values);
    }

    @Override
    public int hashCode() {
        return Objects.hash(values);
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof ChercheExt ext && ext.values.equals(values);
    }
}
