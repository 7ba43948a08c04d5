package io.faissindexer.beam;

import io.faissindexer.ReferenceBuild;
import java.util.Set;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.transforms.Create;
import org.junit.Assert;
import org.junit.Test;

/** What holds on runners that try again; the DirectRunner and an embedded Flink do not. */
public class RetryingRunnerTest {
    private static final String OUTPUT = "store://bucket/retried";
    /** What is in the names of the files of each stage. */
    private static final Set<String> FILES_OF_STAGES = Set.of(
            "sample-", "queries-", "trained-", "-run-", "-truth-", "index-",
            "publication.json", "faiss.index", "_SUCCESS");

    @Test
    public void aFailedAttemptOfEveryStageChangesNothing() {
        BuildFaissIndex build = BuildFaissIndex.into(
                OUTPUT, ReferenceBuild.spec().toBuilder().dimension(ReferenceRows.DIMENSION).report(true).build());
        ObjectStore.failOnce(FILES_OF_STAGES);
        Pipeline pipeline = EveryRunnerTest.pipeline();
        pipeline.apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows())).apply(build);
        Assert.assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
        Assert.assertEquals("files that nobody wrote", Set.of(), ObjectStore.failing());
        Assert.assertEquals(ReferenceBuild.CRC32C, build.receipt().crc32c());
        Assert.assertEquals(
                Set.of("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), ObjectStore.names(OUTPUT));
    }
}
