package io.faissindexer.mapreduce.input;

import io.faissindexer.stages.RowSink;

/** Components with commas between. */
final class DelimitedText {
    private static final char COMMA = ',';
    private static final String NULL = "null";

    private float[] components = new float[0];

    /**
     * Gives the row of an id and its components to a sink.
     *
     * @throws NumberFormatException naming the component that is no number
     */
    EmbeddingRow row(long id, String text) {
        String trimmed = text.trim();
        if (isAbsent(trimmed)) {
            return sink -> sink.nullEmbedding(id);
        }
        int count = 1;
        for (int at = trimmed.indexOf(COMMA); at >= 0; at = trimmed.indexOf(COMMA, at + 1)) {
            count++;
        }
        if (components.length != count) {
            components = new float[count];
        }
        int begin = 0;
        for (int component = 0; component < count; component++) {
            int comma = trimmed.indexOf(COMMA, begin);
            String number = trimmed.substring(begin, comma < 0 ? trimmed.length() : comma).trim();
            if (isAbsent(number)) {
                return sink -> sink.nullComponent(id);
            }
            components[component] = Float.parseFloat(number);
            begin = comma + 1;
        }
        float[] whole = components;
        return sink -> sink.add(id, whole);
    }

    static EmbeddingRow withoutId() {
        return RowSink::nullId;
    }

    static boolean isAbsent(String text) {
        return text.isEmpty() || text.equalsIgnoreCase(NULL);
    }
}
