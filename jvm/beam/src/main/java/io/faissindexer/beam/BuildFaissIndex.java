package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.StagedBuild;
import java.util.Objects;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;

/**
 * Builds one index of all embeddings, by id, and hands on its receipt once {@code _SUCCESS} is in place. Each bundle of
 * rows is sampled and encoded where it is; only what a stage says about its bundles is gathered.
 *
 * <p>The rows are needed several times. A collection is kept, or computed again, as the runner does it; a runner that
 * keeps it in memory wants {@link #of(EmbeddingSource)} instead, which reads the rows again.
 */
public final class BuildFaissIndex extends PTransform<PCollection<KV<Long, float[]>>, PCollection<IndexReceipt>> {
    private static final long serialVersionUID = 1L;

    private final String build = StagedBuild.newName();
    private final IndexSpec spec;
    private final String outputDirectory;

    private BuildFaissIndex(IndexSpec spec, String outputDirectory) {
        this.spec = Objects.requireNonNull(spec, "spec");
        this.outputDirectory = Objects.requireNonNull(outputDirectory, "outputDirectory");
    }

    /**
     * A build.
     *
     * @param spec without a dimension, that of a row is taken, for which the rows are read once more
     * @param outputDirectory on any file system that workers share: of Beam's, {@code hdfs:} or a local path
     */
    public static BuildFaissIndex into(String outputDirectory, IndexSpec spec) {
        return new BuildFaissIndex(spec, outputDirectory);
    }

    /** The same build of rows that are read, as often as they are needed. */
    public PTransform<PBegin, PCollection<IndexReceipt>> of(EmbeddingSource source) {
        return new OfSource(this, source);
    }

    @Override
    public PCollection<IndexReceipt> expand(PCollection<KV<Long, float[]>> rows) {
        return new StageGraph(rows.getPipeline(), (name, begins) -> rows, build, spec, outputDirectory).build();
    }

    /**
     * Deletes what the build has written, for callers whose pipeline has failed or was cancelled; a runner has no step
     * that would do it. A finished index is left alone.
     */
    public void abandon() {
        StagedBuild.abandon(build, outputDirectory, new BeamFiles(outputDirectory));
    }

    /** What the build hands on, for callers whose pipeline has ended. */
    public IndexReceipt receipt() {
        return StagedBuild.published(outputDirectory, new BeamFiles(outputDirectory));
    }

    @Override
    public void validate(PipelineOptions options) {
        StagedBuild.check(spec, outputDirectory, new BeamFiles(outputDirectory));
    }

    @Override
    public void populateDisplayData(DisplayData.Builder builder) {
        super.populateDisplayData(builder);
        builder.add(DisplayData.item("outputDirectory", outputDirectory));
        spec.values().forEach((key, value) -> builder.add(DisplayData.item(key, value)));
    }

    private static final class OfSource extends PTransform<PBegin, PCollection<IndexReceipt>> {
        private static final long serialVersionUID = 1L;

        private final BuildFaissIndex build;
        private final EmbeddingSource source;

        OfSource(BuildFaissIndex build, EmbeddingSource source) {
            this.build = build;
            this.source = Objects.requireNonNull(source, "source").forBuild(build.build);
        }

        @Override
        public PCollection<IndexReceipt> expand(PBegin begin) {
            StageGraph.Rows rows = (name, begins) -> begins.get().apply(name + " rows", source);
            return new StageGraph(begin.getPipeline(), rows, build.build, build.spec, build.outputDirectory).build()
                    .apply("release", ParDo.of(new ReleaseFn(source)));
        }

        @Override
        public void validate(PipelineOptions options) {
            build.validate(options);
        }

        @Override
        public void populateDisplayData(DisplayData.Builder builder) {
            builder.delegate(build);
        }
    }
}
