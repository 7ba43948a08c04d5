package io.faissindexer.internal;

import io.faissindexer.stages.RowSink;

/** Takes the rows of a partition to a stage, batch by batch. */
public final class StageRows implements RowSink {
    private static final long UNKNOWN_ID = 0;

    private final NativeStage stage;
    private final int dimension;
    private final VectorBuffer batch;

    /** Takes rows to a stage of an index of a dimension. */
    public StageRows(NativeStage stage, int dimension) {
        this.stage = stage;
        this.dimension = dimension;
        batch = new VectorBuffer(dimension);
    }

    @Override
    public void add(long id, float[] embedding) {
        if (isOfDimension(id, embedding.length)) {
            batch.put(id, embedding);
            flushWhenFull();
        }
    }

    @Override
    public void add(long id, double[] embedding) {
        if (isOfDimension(id, embedding.length)) {
            batch.put(id, embedding);
            flushWhenFull();
        }
    }

    @Override
    public void nullId() {
        stage.reject(NativeBridge.NULL_ID, UNKNOWN_ID, 0);
    }

    @Override
    public void nullEmbedding(long id) {
        stage.reject(NativeBridge.NULL_EMBEDDING, id, 0);
    }

    @Override
    public void nullComponent(long id) {
        stage.reject(NativeBridge.NULL_COMPONENT, id, 0);
    }

    /** Sends the rows that are still waiting for their batch to be full. */
    public void flush() {
        if (batch.rows() > 0) {
            stage.append(batch);
            batch.clear();
        }
    }

    private boolean isOfDimension(long id, int components) {
        if (components != dimension) {
            stage.reject(NativeBridge.WRONG_DIMENSION, id, components);
        }
        return components == dimension;
    }

    private void flushWhenFull() {
        if (batch.isFull()) {
            flush();
        }
    }
}
