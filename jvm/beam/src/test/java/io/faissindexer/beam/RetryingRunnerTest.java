package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import io.faissindexer.ReferenceBuild;
import java.util.Set;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.transforms.Create;
import org.junit.Test;

/** What holds on runners that try again, which the DirectRunner does not. */
public class RetryingRunnerTest {
    /** What is in the names of the files of each stage. */
    private static final Set<String> FILES_OF_STAGES = Set.of(
            "sample-", "queries-", "trained-", "-run-", "-truth-", "index-",
            "publication.json", "faiss.index", "_SUCCESS");

    private static void assertBuilt(Pipeline pipeline, BuildFaissIndex build, String output) {
        assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
        assertEquals(ReferenceBuild.CRC32C, build.receipt().crc32c());
        assertEquals(
                Set.of("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), ObjectStore.names(output));
    }

    private static Pipeline pipeline(BuildFaissIndex build) {
        Pipeline pipeline = EveryRunnerTest.pipeline();
        pipeline.apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows())).apply(build);
        return pipeline;
    }

    @Test
    public void aFailedAttemptOfEveryStageChangesNothing() {
        BuildFaissIndex build = RepeatedBundlesTest.build("store://bucket/retried");
        ObjectStore.failOnce(FILES_OF_STAGES);
        assertBuilt(pipeline(build), build, "store://bucket/retried");
        assertEquals("files that nobody wrote", Set.of(), ObjectStore.failing());
    }

    @Test
    public void anAttemptOfEveryStageThatIsLostWhenItIsDoneChangesNothing() {
        BuildFaissIndex build = RepeatedBundlesTest.build("store://bucket/lost");
        Pipeline pipeline = pipeline(build);
        RepeatedBundles bundles = new RepeatedBundles(pipeline, RepeatedBundles.Attempts.FIRST_IS_LOST);
        assertBuilt(pipeline, build, "store://bucket/lost");
        RepeatedBundlesTest.assertRepeated(bundles);
    }
}
