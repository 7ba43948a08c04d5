package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.PCollection;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class BuildFaissIndexTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static final IndexSpec SPEC = ReferenceBuild.spec().toBuilder().dimension(ReferenceRows.DIMENSION).build();

    private interface Rows {
        PCollection<IndexReceipt> into(Pipeline pipeline, BuildFaissIndex build);
    }

    private void assertBuilt(IndexSpec spec, Rows rows) throws IOException {
        File output = folder.newFolder();
        Pipeline pipeline = Pipeline.create();
        PCollection<IndexReceipt> receipts = rows.into(pipeline, BuildFaissIndex.into(output.getPath(), spec));
        ReferenceRows.assertReceipt(receipts);
        pipeline.run().waitUntilFinish();
        ReferenceRows.assertPublished(output);
    }

    @Test
    public void theDimensionIsThatOfMostRowsWhereNobodySaysOne() throws IOException {
        assertBuilt(ReferenceBuild.spec(), (pipeline, build) -> pipeline
                .apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows()))
                .apply(build));
    }

    @Test
    public void filesOfEitherFormatBecomeTheIndexThatEveryEngineBuilds() throws IOException {
        File input = folder.newFolder();
        ReferenceRows.writeParquet(new File(input, "a.parquet"), 0, 3);
        ReferenceRows.writeParquet(new File(input, "b"), 1, 3);
        ReferenceRows.writeAvro(new File(input, "c.avro"), 2, 3);
        ReferenceRows.writeAvro(new File(input, "_left_by_a_job.avro"), 2, 3);
        EmbeddingFiles files = EmbeddingFiles.of(List.of(input.getPath()), "entityId", "embedding");
        assertBuilt(SPEC, (pipeline, build) -> pipeline.apply(build.of(files)));
    }
}
