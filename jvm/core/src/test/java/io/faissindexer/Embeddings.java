package io.faissindexer;

import io.faissindexer.stages.RowSource;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;

/** Rows that are the same on every machine: points around well separated centres, with ids that are not positions. */
public final class Embeddings {
    private static final int CENTRES = 40;

    private final long[] ids;
    private final float[][] vectors;

    /** Makes rows of a dimension. */
    public Embeddings(int rows, int dimension) {
        Random random = new Random(20_240_229);
        float[][] centres = new float[CENTRES][dimension];
        for (float[] centre : centres) {
            for (int component = 0; component < dimension; component++) {
                centre[component] = (float) (random.nextGaussian() * 4);
            }
        }
        ids = new long[rows];
        vectors = new float[rows][dimension];
        for (int row = 0; row < rows; row++) {
            ids[row] = idOf(row);
            for (int component = 0; component < dimension; component++) {
                vectors[row][component] = (float) (centres[row % CENTRES][component] + random.nextGaussian());
            }
        }
    }

    private static long idOf(int row) {
        return 1_000_000_007L * (row + 1);
    }

    /** The number of rows. */
    public int rows() {
        return ids.length;
    }

    /** The id of a row. */
    public long id(int row) {
        return ids[row];
    }

    /** The embedding of a row. */
    public float[] vector(int row) {
        return vectors[row];
    }

    /** The numbers of the rows in an order that a seed gives; seed 0 leaves them as they are. */
    public List<Integer> order(long seed) {
        List<Integer> order = new ArrayList<>();
        for (int row = 0; row < rows(); row++) {
            order.add(row);
        }
        if (seed != 0) {
            Collections.shuffle(order, new Random(seed));
        }
        return order;
    }

    /** The rows in an order that a seed gives, dealt out to partitions. */
    public List<RowSource> partitions(int count, long seed) {
        List<Integer> order = order(seed);
        List<RowSource> partitions = new ArrayList<>();
        for (int partition = 0; partition < count; partition++) {
            List<Integer> rows =
                    order.subList(partition * rows() / count, (partition + 1) * rows() / count);
            partitions.add(sink -> rows.forEach(row -> sink.add(id(row), vector(row))));
        }
        return partitions;
    }
}
