package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.faissindexer.IndexSpec;
import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.apache.beam.runners.direct.DirectOptions;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.io.GenerateSequence;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Native work that would go on for long after nobody wants it any more. */
public class CancellationTest {
    private static final int DIMENSION = 256;
    private static final long ROWS = 40_000;
    /** What is trained for longer than anybody would wait. */
    private static final IndexSpec SPEC = IndexSpec.builder()
            .factoryString("IVF32768,Flat").dimension(DIMENSION).sampleRate(1).report(false).build();
    private static final long BEYOND_DOUBT = 3_000;
    private static final long BOUND_SECONDS = 20;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static boolean hasBegun(String stage, PipelineResult running) {
        boolean[] found = new boolean[1];
        running.metrics().allMetrics().getCounters().forEach(
                counter -> found[0] |= counter.getName().getName().equals(stage + " begun"));
        return found[0];
    }

    private static float[] embedding(long row) {
        Random random = new Random(row);
        float[] embedding = new float[DIMENSION];
        for (int component = 0; component < DIMENSION; component++) {
            embedding[component] = random.nextFloat();
        }
        return embedding;
    }

    private static PipelineResult start(BuildFaissIndex build) {
        DirectOptions options = PipelineOptionsFactory.as(DirectOptions.class);
        options.setBlockOnRun(false);
        options.setEnforceImmutability(false);
        options.setEnforceEncodability(false);
        Pipeline pipeline = Pipeline.create(options);
        pipeline.apply(GenerateSequence.from(0).to(ROWS))
                .apply(MapElements.into(new TypeDescriptor<KV<Long, float[]>>() { })
                        .via(row -> KV.of(row, embedding(row))))
                .setCoder(FloatArrayCoder.ofRows())
                .apply(build);
        return pipeline.run();
    }

    @Test
    public void nativeWorkEndsInTheMiddleOfALongStepAndLeavesNothing() throws IOException, InterruptedException {
        File output = folder.newFolder();
        BuildFaissIndex build = BuildFaissIndex.into(output.getPath(), SPEC);
        PipelineResult running = start(build);
        StagesAtWork stages = StagesAtWork.ofProcess();
        while (!hasBegun("train", running) || stages.awaitEnd(0)) {
            assertFalse("" + running.getState(), running.getState().isTerminal());
            Thread.sleep(100);
        }
        assertFalse("training has ended by itself", stages.awaitEnd(BEYOND_DOUBT));
        assertTrue(output.list().length > 0);

        long begin = System.nanoTime();
        running.cancel();
        build.abandon();
        long seconds = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin);
        assertTrue("it took " + seconds + " s", seconds < BOUND_SECONDS);
        assertTrue("native work goes on", stages.awaitEnd(0));
        assertEquals(List.of(), List.of(output.list()));
    }
}
