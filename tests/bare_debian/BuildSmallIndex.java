import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.RowSource;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;
import java.util.Random;

/** Builds an index of random rows with nothing but the packed jar, and leaves the rows beside it to be checked. */
public final class BuildSmallIndex {
    private static final int ROWS = 10_000;
    private static final int DIMENSION = 32;

    private BuildSmallIndex() {
    }

    public static void main(String[] arguments) throws IOException {
        Path directory = Paths.get(arguments[0]);
        long[] ids = new long[ROWS];
        float[][] vectors = new float[ROWS][DIMENSION];
        Random random = new Random(20);
        for (int row = 0; row < ROWS; row++) {
            ids[row] = 1_000_000_007L * (ROWS - row);
            for (int component = 0; component < DIMENSION; component++) {
                vectors[row][component] = (float) random.nextGaussian();
            }
        }
        writeRows(directory, ids, vectors);

        RowSource rows = sink -> {
            for (int row = 0; row < ROWS; row++) {
                sink.add(ids[row], vectors[row]);
            }
        };
        // OPQ needs LAPACK, and so the Fortran runtime; k-means needs BLAS.
        IndexSpec spec = IndexSpec.builder()
                .factoryString("OPQ8,IVF16,PQ8np")
                .metric("l2")
                .sampleRate(1.0)
                .build();
        Path output = directory.resolve("index");
        IndexReceipt receipt = FaissIndexer.build(Collections.singletonList(rows), spec, output.toString());
        for (String name : new String[] {"faiss.index", "_SUCCESS"}) {
            if (!Files.isRegularFile(output.resolve(name))) {
                throw new IllegalStateException(name + " is missing in " + output);
            }
        }
        System.out.println(receipt);
    }

    private static void writeRows(Path directory, long[] ids, float[][] vectors) throws IOException {
        ByteBuffer idBytes = ByteBuffer.allocate(ROWS * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        ByteBuffer vectorBytes = ByteBuffer.allocate(ROWS * DIMENSION * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int row = 0; row < ROWS; row++) {
            idBytes.putLong(ids[row]);
            for (float component : vectors[row]) {
                vectorBytes.putFloat(component);
            }
        }
        Files.write(directory.resolve("ids.int64"), idBytes.array());
        Files.write(directory.resolve("vectors.float32"), vectorBytes.array());
    }
}
