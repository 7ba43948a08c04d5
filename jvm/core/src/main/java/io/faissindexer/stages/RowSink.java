package io.faissindexer.stages;

/** Takes the rows of a partition, good ones and those that lack something. */
public interface RowSink {
    /** A row; its embedding is copied before this returns. */
    void add(long id, float[] embedding);

    /** A row; its components are rounded to the nearest float. */
    void add(long id, double[] embedding);

    /** A row without an id. */
    void nullId();

    /** A row without an embedding. */
    void nullEmbedding(long id);

    /** A row with an embedding that lacks a component. */
    void nullComponent(long id);
}
