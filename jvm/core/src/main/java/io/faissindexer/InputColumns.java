package io.faissindexer;

/** The columns of a table of embeddings, as they are named unless the caller says otherwise. */
public final class InputColumns {
    /** The column with the id of a row. */
    public static final String ID = "entityId";
    /** The column with the embedding of a row. */
    public static final String EMBEDDING = "embedding";

    private InputColumns() {
    }
}
