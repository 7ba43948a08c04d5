package io.faissindexer.beam;

import java.io.IOException;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;

/**
 * Where embeddings come from. A build needs them several times, each time when the stage before is done: all rows are
 * read once for every element of the input, and no sooner than it is there. Each comes with the name of its group,
 * which is empty where rows are not grouped.
 */
public abstract class EmbeddingSource
        extends PTransform<PCollection<Integer>, PCollection<KV<String, KV<Long, float[]>>>> {
    private static final long serialVersionUID = 1L;

    /** The group of rows that are not grouped. */
    static final String ALL_ROWS = "";

    /** Whether there is to be an index for each group, and not one of all rows. */
    boolean isGrouped() {
        return false;
    }

    /** The same rows as one build reads them, which may keep something between its passes. */
    EmbeddingSource forBuild(String build) {
        return this;
    }

    /** Deletes what was kept for a build; called on a worker once its index is in place. */
    void release(PipelineOptions options) throws IOException, InterruptedException {
    }
}
