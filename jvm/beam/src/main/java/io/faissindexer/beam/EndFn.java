package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import java.io.IOException;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Ends a build whose indexes are all in place: removes what is of no use any more, and hands on the receipts. */
final class EndFn extends DoFn<KV<Integer, Iterable<IndexReceipt>>, IndexReceipt> {
    private static final long serialVersionUID = 1L;
    private static final Logger LOG = LoggerFactory.getLogger(EndFn.class);

    private final BeamBuild build;
    private final StageGraph.Release release;

    EndFn(BeamBuild build, StageGraph.Release release) {
        this.build = build;
        this.release = release;
    }

    /** Ends the build; that its rows cannot be released does not make it fail. */
    @ProcessElement
    public void process(ProcessContext context) throws InterruptedException {
        build.end();
        try {
            release.release(context.getPipelineOptions());
        } catch (IOException | RuntimeException failure) {
            LOG.warn("what was kept of the input for the build is not deleted: {}", failure.toString());
        }
        context.element().getValue().forEach(context::output);
    }
}
