package io.faissindexer.mapreduce.input;

import io.faissindexer.stages.RowSink;
import java.util.Arrays;

/** One row, filled again and again as Parquet hands on values. */
final class ParquetRow implements EmbeddingRow {
    private static final int FIRST_CAPACITY = 64;

    private boolean hasId;
    private long id;
    private boolean hasEmbedding;
    private boolean lacksComponent;
    private boolean isDouble;
    private int components;
    private float[] floats = new float[FIRST_CAPACITY];
    private double[] doubles = new double[0];

    void begin() {
        hasId = false;
        hasEmbedding = false;
        lacksComponent = false;
        components = 0;
    }

    void setId(long value) {
        hasId = true;
        id = value;
    }

    /** There is an embedding, perhaps without components. */
    void beginEmbedding() {
        hasEmbedding = true;
    }

    void addNull() {
        lacksComponent = true;
    }

    void add(float value) {
        hasEmbedding = true;
        if (components == floats.length) {
            floats = Arrays.copyOf(floats, 2 * components + FIRST_CAPACITY);
        }
        floats[components++] = value;
    }

    void add(double value) {
        hasEmbedding = true;
        isDouble = true;
        if (components == doubles.length) {
            doubles = Arrays.copyOf(doubles, 2 * components + FIRST_CAPACITY);
        }
        doubles[components++] = value;
    }

    int components() {
        return components;
    }

    /** Rows of one dimension fill the same array, which sinks take whole. */
    @Override
    public void giveTo(RowSink sink) {
        if (!hasId) {
            sink.nullId();
        } else if (!hasEmbedding) {
            sink.nullEmbedding(id);
        } else if (lacksComponent) {
            sink.nullComponent(id);
        } else if (isDouble) {
            doubles = doubles.length == components ? doubles : Arrays.copyOf(doubles, components);
            sink.add(id, doubles);
        } else {
            floats = floats.length == components ? floats : Arrays.copyOf(floats, components);
            sink.add(id, floats);
        }
    }
}
