package io.faissindexer.beam;

import io.faissindexer.ReferenceBuild;
import io.faissindexer.SpecKey;
import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Create;
import org.junit.Assert;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

/** Runners that run a bundle twice, and commit one of the two. */
@RunWith(Parameterized.class)
public class RepeatedBundlesTest {
    /** Every step that reads or writes files of the build. */
    static final Set<String> STEPS_OF_STAGES = Set.of(
            "start", "sample", "sample done", "sample again", "sample again done", "train", "train done", "encode",
            "encode done", "merge", "merge done", "assemble", "assemble done", "evaluate", "evaluate done", "publish");

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final RepeatedBundles.Attempts attempts;

    public RepeatedBundlesTest(RepeatedBundles.Attempts attempts) {
        this.attempts = attempts;
    }

    @Parameterized.Parameters(name = "{0}")
    public static List<RepeatedBundles.Attempts> attempts() {
        return List.of(RepeatedBundles.Attempts.FIRST_COUNTS, RepeatedBundles.Attempts.SECOND_COUNTS);
    }

    /** All stages have something to do. */
    static BuildFaissIndex build(String output) {
        return BuildFaissIndex.into(output, ReferenceBuild.spec().toBuilder()
                .dimension(ReferenceRows.DIMENSION)
                .set(SpecKey.MERGE_PARTS, "3")
                .report(true)
                .build());
    }

    static void assertRepeated(RepeatedBundles bundles) {
        assertRepeated(bundles, STEPS_OF_STAGES);
    }

    private static void assertRepeated(RepeatedBundles bundles, Set<String> steps) {
        Set<String> missing = new TreeSet<>(steps);
        missing.removeAll(bundles.repeated());
        Assert.assertEquals("steps that have not run twice", Set.of(), missing);
    }

    @Test
    public void bundlesThatRunTwiceChangeNothingAndLeaveNothing() throws IOException {
        File output = folder.newFolder();
        BuildFaissIndex build = build(output.getPath());
        Pipeline pipeline = Pipeline.create();
        ReferenceRows.assertReceipt(
                pipeline.apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows())).apply(build));
        RepeatedBundles bundles = new RepeatedBundles(pipeline, attempts);
        pipeline.run().waitUntilFinish();
        assertRepeated(bundles);
        Assert.assertEquals(
                Set.of("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), Set.of(output.list()));
    }

    @Test
    public void bundlesOfGroupsThatRunTwiceChangeNothingAndLeaveNothing() throws IOException {
        File output = folder.newFolder();
        BuildFaissIndexPerGroup build = BuildFaissIndexPerGroup.into(output.getPath(), ReferenceRows.SPEC_OF_GROUPS);
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(Create.of(ReferenceRows.grouped()).withCoder(FloatArrayCoder.ofGroupedRows())).apply(build);
        RepeatedBundles bundles = new RepeatedBundles(pipeline, attempts);
        pipeline.run().waitUntilFinish();
        assertRepeated(bundles, Set.of(
                "count", "specs", "start", "sample", "train", "encode", "merge", "announce", "publish", "end"));
        ReferenceRows.assertGroupsPublished(output, build.receipts(), folder.newFolder());
    }
}
