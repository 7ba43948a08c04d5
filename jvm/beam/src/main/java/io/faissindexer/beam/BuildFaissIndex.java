package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptor;

/**
 * Builds one index of all embeddings, by id, and hands on its receipt once {@code _SUCCESS} is in place. Each bundle of
 * rows is sampled and encoded where it is; only what a stage says about its bundles is gathered.
 *
 * <p>The rows are needed several times. A collection is kept, or computed again, as the runner does it; a runner that
 * keeps it in memory wants {@link #of(EmbeddingSource)} instead, which reads the rows again.
 */
public final class BuildFaissIndex extends PTransform<PCollection<KV<Long, float[]>>, PCollection<IndexReceipt>> {
    private static final long serialVersionUID = 1L;

    private final BeamBuild build;

    private BuildFaissIndex(BeamBuild build) {
        this.build = build;
    }

    /**
     * A build.
     *
     * @param spec without a dimension, that of most rows is taken, for which the rows are read once more
     * @param outputDirectory on any file system that workers share: of Beam's, {@code hdfs:} or a local path
     */
    public static BuildFaissIndex into(String outputDirectory, IndexSpec spec) {
        return new BuildFaissIndex(new BeamBuild(spec, outputDirectory, false));
    }

    /** The same build of rows that are read, as often as they are needed. */
    public PTransform<PBegin, PCollection<IndexReceipt>> of(EmbeddingSource source) {
        return new BuildOfSource(build, source);
    }

    @Override
    public PCollection<IndexReceipt> expand(PCollection<KV<Long, float[]>> rows) {
        PCollection<KV<String, KV<Long, float[]>>> all = rows
                .apply("rows", MapElements.into(new TypeDescriptor<KV<String, KV<Long, float[]>>>() { })
                        .via(row -> KV.of(EmbeddingSource.ALL_ROWS, row)))
                .setCoder(FloatArrayCoder.ofGroupedRows());
        return new StageGraph(rows.getPipeline(), (name, begins) -> all, build, StageGraph.NOTHING_TO_RELEASE).build();
    }

    /**
     * Deletes what the build has written, for callers whose pipeline has failed or was cancelled; a runner has no step
     * that would do it. Stages that are still at work in this process, as the DirectRunner leaves them, are ended
     * before. A finished index is left alone. The transform cannot build again in this process.
     */
    public void abandon() {
        build.abandon();
    }

    /** What the build hands on, for callers whose pipeline has ended. */
    public IndexReceipt receipt() {
        return build.receipts().get(0);
    }

    @Override
    public void validate(PipelineOptions options) {
        build.check();
    }

    @Override
    public void populateDisplayData(DisplayData.Builder builder) {
        super.populateDisplayData(builder);
        build.populateDisplayData(builder);
    }
}
