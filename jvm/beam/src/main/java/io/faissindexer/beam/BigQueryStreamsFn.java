package io.faissindexer.beam;

import org.apache.beam.sdk.io.BoundedSource;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryOptions;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;

/** Opens a read session, which BigQuery ends after some hours, and hands on its streams. */
final class BigQueryStreamsFn extends DoFn<Integer, BoundedSource<KV<String, KV<Long, float[]>>>> {
    private static final long serialVersionUID = 1L;
    private static final long LEAST_BYTES = 1 << 20;

    private final BigQueryInput input;

    BigQueryStreamsFn(BigQueryInput input) {
        this.input = input;
    }

    /** Opens a session for all rows. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        BigQueryOptions options = context.getPipelineOptions().as(BigQueryOptions.class);
        BoundedSource<KV<String, KV<Long, float[]>>> source = input.source(options);
        // As many streams as Beam would have: 32 for a gigabyte, 1000 for a terabyte.
        long streamBytes = Math.max(LEAST_BYTES, (long) (1000 * Math.sqrt(source.getEstimatedSizeBytes(options))));
        source.split(streamBytes, options).forEach(context::output);
    }
}
