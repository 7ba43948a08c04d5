package io.faissindexer.mapreduce.input;

import io.faissindexer.InputColumns;
import org.apache.hadoop.conf.Configuration;

/** What an input is read by; travels to the tasks in the configuration of a job. */
public final class InputSettings {
    /** How the input is stored: a {@link StoredAs} in any case, or {@code auto}. */
    public static final String FORMAT = "faissindexer.input.format";
    /** The column with the ids; see {@link InputColumns#ID}. */
    public static final String ID_COLUMN = "faissindexer.input.id.column";
    /** The column with the embeddings; see {@link InputColumns#EMBEDDING}. */
    public static final String EMBEDDING_COLUMN = "faissindexer.input.embedding.column";

    private InputSettings() {
    }

    static String idColumn(Configuration configuration) {
        return configuration.get(ID_COLUMN, InputColumns.ID);
    }

    static String embeddingColumn(Configuration configuration) {
        return configuration.get(EMBEDDING_COLUMN, InputColumns.EMBEDDING);
    }
}
