package io.faissindexer.beam;

import java.io.IOException;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryOptions;
import org.apache.beam.sdk.transforms.DoFn;

/** Exports an input of BigQuery unless that has been done, and hands on the pattern of the files. */
final class BigQueryExportFn extends DoFn<Integer, String> {
    private static final long serialVersionUID = 1L;

    private final BigQueryInput input;

    BigQueryExportFn(BigQueryInput input) {
        this.input = input;
    }

    /** Exports all rows. */
    @ProcessElement
    public void process(ProcessContext context) throws IOException, InterruptedException {
        context.output(input.export(context.getPipelineOptions().as(BigQueryOptions.class)));
    }
}
