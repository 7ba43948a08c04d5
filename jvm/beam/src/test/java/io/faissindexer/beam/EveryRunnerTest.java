package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.util.List;
import java.util.Set;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.junit.Assert;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What holds on every runner; the build runs this class with one after another. */
public class EveryRunnerTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static BuildFaissIndex build(String output) {
        return BuildFaissIndex.into(
                output, ReferenceBuild.spec().toBuilder().dimension(ReferenceRows.DIMENSION).build());
    }

    static Pipeline pipeline() {
        String[] options = System.getProperty("faissindexer.test.options", "").split(" ");
        return Pipeline.create(PipelineOptionsFactory.fromArgs(options).create());
    }

    private static void assertBuilt(Pipeline pipeline, BuildFaissIndex build, File output) throws IOException {
        Assert.assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
        Assert.assertEquals(ReferenceBuild.CRC32C, build.receipt().crc32c());
        ReferenceRows.assertPublished(output);
    }

    @Test
    public void filesBecomeTheIndexThatEveryEngineBuilds() throws IOException {
        File input = folder.newFolder();
        ReferenceRows.writeParquet(new File(input, "a.parquet"), 0, 2);
        ReferenceRows.writeAvro(new File(input, "b.avro"), 1, 2);
        File output = folder.newFolder();
        BuildFaissIndex build = build(output.getPath());
        Pipeline pipeline = pipeline();
        pipeline.apply(build.of(EmbeddingFiles.of(List.of(input.getPath()), "entityId", "embedding")));
        assertBuilt(pipeline, build, output);
    }

    @Test
    public void aCollectionBecomesTheIndexThatEveryEngineBuilds() throws IOException {
        File output = folder.newFolder();
        BuildFaissIndex build = build(output.getPath());
        Pipeline pipeline = pipeline();
        PCollection<IndexReceipt> receipts = pipeline
                .apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows()))
                .apply(build);
        Assert.assertNotNull(receipts.getCoder());
        assertBuilt(pipeline, build, output);
    }

    @Test
    public void eachGroupOfACollectionBecomesTheIndexOfItsRows() throws IOException {
        File output = folder.newFolder();
        BuildFaissIndexPerGroup build = BuildFaissIndexPerGroup.into(output.getPath(), ReferenceRows.SPEC_OF_GROUPS);
        Pipeline pipeline = pipeline();
        PCollection<IndexReceipt> receipts = pipeline
                .apply(Create.of(ReferenceRows.grouped()).withCoder(FloatArrayCoder.ofGroupedRows()))
                .apply(build);
        Assert.assertNotNull(receipts.getCoder());
        Assert.assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
        ReferenceRows.assertGroupsPublished(output, build.receipts(), folder.newFolder());
    }

    @Test
    public void anObjectStoreGetsTheIndexThatEveryEngineBuilds() {
        BuildFaissIndex build = build("store://bucket/out");
        Pipeline pipeline = pipeline();
        pipeline.apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows())).apply(build);
        Assert.assertEquals(PipelineResult.State.DONE, pipeline.run().waitUntilFinish());
        Assert.assertEquals(ReferenceBuild.CRC32C, build.receipt().crc32c());
        Assert.assertEquals(
                Set.of("_SUCCESS", "faiss.index", "faiss.manifest.json"), ObjectStore.names("store://bucket/out"));
    }
}
