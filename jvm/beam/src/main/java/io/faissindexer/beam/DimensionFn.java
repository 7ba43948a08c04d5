package io.faissindexer.beam;

import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;

/** The components of the first embedding of each bundle. */
final class DimensionFn extends DoFn<KV<Long, float[]>, Integer> {
    private static final long serialVersionUID = 1L;

    private transient boolean isFound;

    /** Begins to look. */
    @StartBundle
    public void begin() {
        isFound = false;
    }

    /** Looks at a row. */
    @ProcessElement
    public void process(@Element KV<Long, float[]> row, OutputReceiver<Integer> dimensions) {
        if (!isFound && row.getValue() != null) {
            isFound = true;
            dimensions.output(row.getValue().length);
        }
    }
}
