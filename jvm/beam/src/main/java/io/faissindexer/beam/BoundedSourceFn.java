package io.faissindexer.beam;

import java.io.IOException;
import org.apache.beam.sdk.io.BoundedSource;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;

/** Reads sources that are known only once the pipeline runs. */
final class BoundedSourceFn extends DoFn<BoundedSource<KV<String, KV<Long, float[]>>>, KV<String, KV<Long, float[]>>> {
    private static final long serialVersionUID = 1L;

    /** Reads a source. */
    @ProcessElement
    public void process(ProcessContext context) throws IOException {
        try (BoundedSource.BoundedReader<KV<String, KV<Long, float[]>>> reader =
                context.element().createReader(context.getPipelineOptions())) {
            for (boolean isThere = reader.start(); isThere; isThere = reader.advance()) {
                context.output(reader.getCurrent());
            }
        }
    }
}
