package io.faissindexer.internal;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.LongBuffer;

/** A batch of rows in direct memory of the native byte order, filled and emptied again and again by one thread. */
final class VectorBuffer {
    /** Large enough to make the call per batch cheap, small enough to stay in the second-level cache. */
    private static final int BYTES_OF_VECTORS = 256 * 1024;

    private final int dimension;
    private final int capacity;
    private final ByteBuffer idBytes;
    private final ByteBuffer vectorBytes;
    private final LongBuffer ids;
    private final FloatBuffer vectors;

    VectorBuffer(int dimension) {
        this.dimension = dimension;
        capacity = Math.max(1, BYTES_OF_VECTORS / Float.BYTES / dimension);
        idBytes = ByteBuffer.allocateDirect(Long.BYTES * capacity).order(ByteOrder.nativeOrder());
        vectorBytes = ByteBuffer.allocateDirect(Math.multiplyExact(Float.BYTES * capacity, dimension))
                .order(ByteOrder.nativeOrder());
        ids = idBytes.asLongBuffer();
        vectors = vectorBytes.asFloatBuffer();
    }

    /** Adds a row; the embedding has the dimension of the buffer, which is not full. */
    void put(long id, float[] embedding) {
        vectors.put(embedding, 0, dimension);
        ids.put(id);
    }

    /** Adds a row, rounding its components to the nearest float. */
    void put(long id, double[] embedding) {
        for (int component = 0; component < dimension; component++) {
            vectors.put((float) embedding[component]);
        }
        ids.put(id);
    }

    int rows() {
        return ids.position();
    }

    boolean isFull() {
        return rows() == capacity;
    }

    ByteBuffer idBytes() {
        return idBytes;
    }

    ByteBuffer vectorBytes() {
        return vectorBytes;
    }

    void clear() {
        ids.clear();
        vectors.clear();
    }
}
