package io.faissindexer.beam;

import org.apache.beam.sdk.transforms.PTransform;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;

/**
 * Where embeddings come from. A build needs them several times, each time when the stage before is done: all rows are
 * read once for every element of the input, and no sooner than it is there.
 */
public abstract class EmbeddingSource extends PTransform<PCollection<Integer>, PCollection<KV<Long, float[]>>> {
    private static final long serialVersionUID = 1L;
}
