package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import java.util.List;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;

/**
 * Builds an index of the embeddings of each group, in the directory of the group's name, and hands on their receipts
 * once all are in place. None is published before all can be; {@code ANN_INDEX_METADATA} above them states how many
 * there are. As in {@link BuildFaissIndex}, no rows are gathered, however large a group is.
 *
 * <p>A group is named by letters, digits, dots, dashes and underscores, after a letter or a digit. All indexes have one
 * dimension and what else a spec says; a family that is chosen is chosen for each by its own rows.
 */
public final class BuildFaissIndexPerGroup
        extends PTransform<PCollection<KV<String, KV<Long, float[]>>>, PCollection<IndexReceipt>> {
    private static final long serialVersionUID = 1L;

    private final BeamBuild build;

    private BuildFaissIndexPerGroup(BeamBuild build) {
        this.build = build;
    }

    /**
     * A build.
     *
     * @param spec of every index; without a dimension, that of most rows is taken
     * @param outputDirectory above those of the groups, on any file system that workers share
     */
    public static BuildFaissIndexPerGroup into(String outputDirectory, IndexSpec spec) {
        return new BuildFaissIndexPerGroup(new BeamBuild(spec, outputDirectory, true));
    }

    /** The same build of rows that are read, as often as they are needed, with their groups. */
    public PTransform<PBegin, PCollection<IndexReceipt>> of(EmbeddingSource source) {
        return new BuildOfSource(build, source);
    }

    @Override
    public PCollection<IndexReceipt> expand(PCollection<KV<String, KV<Long, float[]>>> rows) {
        return new StageGraph(rows.getPipeline(), (name, begins) -> rows, build, StageGraph.NOTHING_TO_RELEASE).build();
    }

    /** Deletes what the build has written, as {@link BuildFaissIndex#abandon()} does. */
    public void abandon() {
        build.abandon();
    }

    /** What the build hands on, in the order of the groups' names, for callers whose pipeline has ended. */
    public List<IndexReceipt> receipts() {
        return build.receipts();
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
