package io.faissindexer.stages;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.storage.FileSystemHook;
import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What a driver knows of the memory of its tasks, and what happens when one of them does not get it. */
public class AnnouncedMemoryTest {
    private static final Embeddings ROWS = new Embeddings(2000, 16);
    private static final IndexSpec SPEC = IndexSpec.builder().factoryString("IVF16,SQ8").build();

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final List<String> said = new ArrayList<>();

    private IndexReceipt build(IndexSpec spec, FaissIndexException failureOfEvaluate) {
        Engine engine = new Unlucky(failureOfEvaluate);
        return new IndexBuild(engine, said::add).run(spec, new File(folder.getRoot(), "out").getPath());
    }

    /** The MiB that were announced for a stage. */
    private int announced(String stage) {
        Pattern pattern = Pattern.compile(stage + ": a task takes up to (\\d+) MiB outside the heap of its JVM");
        return said.stream().map(pattern::matcher).filter(Matcher::matches)
                .mapToInt(line -> Integer.parseInt(line.group(1))).findFirst()
                .orElseThrow(() -> new AssertionError(stage + " in " + said));
    }

    @Test
    public void everyStageIsAnnouncedWithWhatItTakesOutsideTheHeap() {
        build(SPEC.toBuilder().memoryLimit(1L << 30).build(), null);
        for (String stage : new String[] {"sample", "train", "merge", "evaluate"}) {
            assertTrue(said.toString(), announced(stage) > 0 && announced(stage) < 512);
        }
        assertTrue("the memory limit is in it: " + said, announced("encode") > 1024 && announced("encode") < 1536);
    }

    @Test
    public void anIndexThatCannotBeMeasuredIsPublishedWithAWarning() {
        FaissIndexException failure = new FaissIndexException(Kind.OUT_OF_MEMORY, "the container is too small");
        IndexReceipt receipt = build(SPEC, failure);
        assertEquals(ROWS.rows(), receipt.rows());
        assertTrue(new File(folder.getRoot(), "out/_SUCCESS").exists());
        assertTrue(said.toString(), said.contains("warning: the index was not measured: the container is too small"));
    }

    @Test
    public void anInterruptWhileTheIndexIsMeasuredEndsTheBuild() {
        FaissIndexException interrupt = new FaissIndexException(Kind.CANCELLED, "the build was interrupted");
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build(SPEC, interrupt));
        assertEquals(Kind.CANCELLED, failure.kind());
        assertFalse(new File(folder.getRoot(), "out/_SUCCESS").exists());
    }

    /** Runs all stages in this process, but for the last one, which may fail. */
    private static final class Unlucky implements Engine {
        private final Engine rows = new LocalEngine(ROWS.partitions(2, 0));
        private final FaissIndexException failureOfEvaluate;

        Unlucky(FaissIndexException failureOfEvaluate) {
            this.failureOfEvaluate = failureOfEvaluate;
        }

        @Override
        public String input() {
            return rows.input();
        }

        @Override
        public OptionalInt firstDimension() {
            return rows.firstDimension();
        }

        @Override
        public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
            return rows.onEveryPartition(name, stage);
        }

        @Override
        public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
            if (failureOfEvaluate != null && name.equals("evaluate")) {
                throw failureOfEvaluate;
            }
            return rows.inTasks(name, tasks, stage);
        }

        @Override
        public FileSystemHook.Factory files() {
            return rows.files();
        }
    }
}
