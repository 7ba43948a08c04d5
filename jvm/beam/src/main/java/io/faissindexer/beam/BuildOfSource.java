package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import java.util.Objects;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.PBegin;
import org.apache.beam.sdk.values.PCollection;

/** A build of rows that are read, as often as they are needed. */
final class BuildOfSource extends PTransform<PBegin, PCollection<IndexReceipt>> {
    private static final long serialVersionUID = 1L;

    private final BeamBuild build;
    private final EmbeddingSource source;

    BuildOfSource(BeamBuild build, EmbeddingSource source) {
        this.build = build;
        this.source = Objects.requireNonNull(source, "source").forBuild(build.name());
    }

    @Override
    public PCollection<IndexReceipt> expand(PBegin begin) {
        StageGraph.Rows rows = (name, begins) -> begins.get().apply(name + " rows", source);
        return new StageGraph(begin.getPipeline(), rows, build, source::release).build();
    }

    @Override
    public void validate(PipelineOptions options) {
        if (source.isGrouped() != build.isGrouped()) {
            throw new FaissIndexException(Kind.INVALID_SPEC, source.isGrouped()
                    ? "rows are grouped, and one index of all is to be built"
                    : "an index for each group is to be built, and rows are not grouped");
        }
        build.check();
    }

    @Override
    public void populateDisplayData(DisplayData.Builder builder) {
        super.populateDisplayData(builder);
        build.populateDisplayData(builder);
    }
}
