package org.cherche.opensearch;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.opensearch.ingest.ConfigurationUtils;
import org.opensearch.ingest.IngestDocument;

/**
 * Reads the text of a document as {@code cherche feed} does ({@code tests/contract/texts.json}): a field by its name or
 * by a path through objects and lists of objects.
 */
final class Texts {

    /** Encoded field by source path; a path that equals its field needs no copy. */
    private final Map<String, String> fieldMap;

    private Texts(Map<String, String> fieldMap) {
        this.fieldMap = fieldMap;
    }

    /**
     * Takes {@code field_map} out of a processor's configuration: source field to encoded field, paths dotted or as
     * nested objects.
     */
    static Texts read(String type, String tag, Map<String, Object> config) {
        Map<String, Object> given = ConfigurationUtils.readOptionalMap(type, tag, config, "field_map");
        Map<String, String> flat = new LinkedHashMap<>();
        try {
            flatten("", given == null ? Map.of() : given, flat);
        } catch (IllegalArgumentException e) {
            throw ConfigurationUtils.newConfigurationException(type, tag, "field_map", e.getMessage());
        }
        return new Texts(flat);
    }

    private static void flatten(String prefix, Map<?, ?> map, Map<String, String> flat) {
        map.forEach((key, value) -> {
            String path = prefix + key;
            if (value instanceof Map<?, ?> inner) {
                flatten(path + ".", inner, flat);
            } else if (!(value instanceof String field) || field.isBlank() || key.toString().isBlank()) {
                throw new IllegalArgumentException("[" + path + "] must name an encoded field, not [" + value + "]");
            } else if (flat.containsValue(field)) {
                throw new IllegalArgumentException("[" + field + "] is mapped from two source fields");
            } else {
                flat.put(path, field);
            }
        });
    }

    /**
     * Copies text into the encoded fields that the map names, so that searches, feeds and backfills read the text that
     * was encoded.
     *
     * @throws IllegalArgumentException where the index does not encode such a field
     */
    void map(IngestDocument document, IndexSetup setup) {
        fieldMap.forEach((path, field) -> {
            if (!setup.fields().contains(field)) {
                throw new IllegalArgumentException(
                    "field_map names [" + field + "], but the index encodes " + setup.fields()
                        + ": correct the pipeline, or set the index up with other --fields"
                );
            }
            Object value = path.equals(field) ? null : at(document.getSourceAndMetadata(), path);
            if (value != null) {
                document.setFieldValue(field, value);
            }
        });
    }

    /** The encoded fields of a document: only these leave the cluster. */
    static Map<String, Object> of(Map<String, Object> source, IndexSetup setup) {
        Map<String, Object> texts = new LinkedHashMap<>();
        for (String name : setup.fields()) {
            Object value = at(source, name);
            if (value != null && !(value instanceof List<?> list && list.isEmpty())) {
                texts.put(name, value);
            }
        }
        return texts;
    }

    /** The value under a name or path, or all values where the path leads to several; null where there is none. */
    static Object at(Map<?, ?> source, String name) {
        List<Object> found = new ArrayList<>();
        collect(source, name, found);
        if (found.size() < 2) {
            return found.isEmpty() ? null : found.get(0);
        }
        List<Object> flat = new ArrayList<>();
        flatten(found, flat);
        return flat;
    }

    /** A key may hold dots itself and then stands for several steps of the path. */
    private static void collect(Map<?, ?> source, String path, List<Object> found) {
        for (int cut = path.length(); cut > 0; cut = path.lastIndexOf('.', cut - 1)) {
            Object inner = source.get(path.substring(0, cut));
            if (cut == path.length()) {
                if (inner != null) {
                    found.add(inner);
                }
            } else if (inner instanceof Map<?, ?> object) {
                collect(object, path.substring(cut + 1), found);
            } else if (inner instanceof List<?> list) {
                List<Object> parts = new ArrayList<>();
                flatten(list, parts);
                List<Object> values = new ArrayList<>();
                for (Object part : parts) {
                    if (part instanceof Map<?, ?> object) {
                        collect(object, path.substring(cut + 1), values);
                    }
                }
                List<Object> flat = new ArrayList<>();
                flatten(values, flat);
                found.add(flat);
            }
        }
    }

    /** The single values of each encoded field that has any: only these leave the cluster. */
    static Map<String, Object> values(Map<String, Object> source, IndexSetup setup) {
        Map<String, Object> values = new LinkedHashMap<>();
        for (String name : setup.fields()) {
            List<Object> found = values(source, name);
            if (!found.isEmpty()) {
                values.put(name, found);
            }
        }
        return values;
    }

    /** The single values under a name or path in order, null among them: passages name one by its number. */
    static List<Object> values(Map<?, ?> source, String name) {
        List<Object> found = new ArrayList<>();
        within(source, name, found);
        return found;
    }

    private static void within(Map<?, ?> source, String path, List<Object> found) {
        for (int cut = path.length(); cut > 0; cut = path.lastIndexOf('.', cut - 1)) {
            String key = path.substring(0, cut);
            List<Object> values = new ArrayList<>();
            if (source.containsKey(key)) {
                singles(source.get(key), values);
            }
            for (Object value : values) {
                if (cut == path.length()) {
                    found.add(value);
                } else if (value instanceof Map<?, ?> object) {
                    within(object, path.substring(cut + 1), found);
                }
            }
        }
    }

    private static void singles(Object value, List<Object> found) {
        if (value instanceof List<?> list) {
            list.forEach(each -> singles(each, found));
        } else {
            found.add(value);
        }
    }

    /** Values, those of lists among them, without null. */
    private static void flatten(List<?> values, List<Object> flat) {
        for (Object value : values) {
            if (value instanceof List<?> list) {
                flatten(list, flat);
            } else if (value != null) {
                flat.add(value);
            }
        }
    }
}
