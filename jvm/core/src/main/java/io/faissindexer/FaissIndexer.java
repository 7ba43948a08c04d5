package io.faissindexer;

import io.faissindexer.stages.IndexBuild;
import io.faissindexer.stages.LocalEngine;
import io.faissindexer.stages.RowSource;
import java.util.List;

/** Builds an index in this JVM, without an engine. */
public final class FaissIndexer {
    private FaissIndexer() {
    }

    /**
     * Builds an index of all rows of all partitions.
     *
     * @param partitions the rows, read more than once; how they are divided has no influence on the index
     * @param spec what to build
     * @param outputDirectory a local path, which is created
     * @throws FaissIndexException when the index cannot be built; nothing is left behind then
     */
    public static IndexReceipt build(List<? extends RowSource> partitions, IndexSpec spec, String outputDirectory) {
        return new IndexBuild(new LocalEngine(partitions)).run(spec, outputDirectory);
    }
}
