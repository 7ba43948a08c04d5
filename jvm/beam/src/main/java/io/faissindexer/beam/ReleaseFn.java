package io.faissindexer.beam;

import io.faissindexer.IndexReceipt;
import java.io.IOException;
import org.apache.beam.sdk.transforms.DoFn;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Has a source delete what it kept for a build, whose index is in place. */
final class ReleaseFn extends DoFn<IndexReceipt, IndexReceipt> {
    private static final long serialVersionUID = 1L;
    private static final Logger LOG = LoggerFactory.getLogger(ReleaseFn.class);

    private final EmbeddingSource source;

    ReleaseFn(EmbeddingSource source) {
        this.source = source;
    }

    /** Releases the source, and hands on the receipt in any case. */
    @ProcessElement
    public void process(ProcessContext context) throws InterruptedException {
        try {
            source.release(context.getPipelineOptions());
        } catch (IOException | RuntimeException failure) {
            LOG.warn("what was kept of the input for the build is not deleted: {}", failure.toString());
        }
        context.output(context.element());
    }
}
