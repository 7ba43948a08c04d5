package io.faissindexer.mapreduce.input;

import io.faissindexer.stages.RowSink;

/** The row that a record reader is at. */
@FunctionalInterface
public interface EmbeddingRow {
    /** Gives the row, with what it has and lacks, to a sink. */
    void giveTo(RowSink sink);
}
