package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexSpec;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.KV;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

/** The distances of the older job that few families know. */
@RunWith(Parameterized.class)
public class DistancesTest {
    private static final Embeddings ROWS = new Embeddings(800, 16);

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final String metric;
    private final String family;
    private final List<StockFaiss> readers;

    public DistancesTest(String metric, String family, int readers) {
        this.metric = metric;
        this.family = family;
        this.readers = StockFaiss.versions().subList(0, readers);
    }

    /** How many versions of Faiss, the newest first, can search the index; none where it cannot be built. */
    @Parameterized.Parameters(name = "{0} and {1}: {2}")
    public static List<Object[]> cases() {
        return Arrays.asList(new Object[][] {
            {"l1", "Flat", 2},
            {"linf", "Flat", 2},
            {"l1", "IVF16,Flat", 1},
            {"linf", "HNSW16,Flat", 2},
            {"l1", "PQ8", 0},
            {"linf", "IVF16,PQ8", 0},
            {"l1", "OPQ8,IVF16,PQ8", 0},
            {"linf", "IVF16,SQ8", 0},
        });
    }

    private BuildFaissIndex build(File output) {
        return BuildFaissIndex.into(output.getPath(), IndexSpec.builder()
                .factoryString(family).metric(metric).dimension(16).report(false).build());
    }

    @Test
    public void aFamilyIsBuiltOrRefusedBeforeThePipelineStarts() throws Exception {
        File output = new File(folder.getRoot(), "index");
        BuildFaissIndex build = build(output);
        if (readers.isEmpty()) {
            FaissIndexException refusal = assertThrows(
                    FaissIndexException.class, () -> build.validate(PipelineOptionsFactory.create()));
            assertEquals(refusal.getMessage(), Kind.INVALID_SPEC, refusal.kind());
            assertTrue(refusal.getMessage(), refusal.getMessage().contains(metric));
            assertFalse(output.exists());
            return;
        }
        List<KV<Long, float[]>> rows = new ArrayList<>();
        for (int row = 0; row < ROWS.rows(); row++) {
            rows.add(KV.of(ROWS.id(row), ROWS.vector(row)));
        }
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(Create.of(rows).withCoder(FloatArrayCoder.ofRows())).apply(build);
        pipeline.run().waitUntilFinish();
        for (StockFaiss faiss : readers) {
            faiss.assertHolds(new File(output, "faiss.index").toPath(), ROWS, true);
        }
    }
}
