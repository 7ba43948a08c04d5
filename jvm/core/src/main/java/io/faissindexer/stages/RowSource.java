package io.faissindexer.stages;

/** The rows of one partition. */
@FunctionalInterface
public interface RowSource {
    /** Gives every row to the sink, on the calling thread. */
    void forEachRow(RowSink sink) throws Exception;
}
