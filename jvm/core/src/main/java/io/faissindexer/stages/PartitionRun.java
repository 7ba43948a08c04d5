package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.internal.StageRows;
import java.io.IOException;

/**
 * A stage in the middle of one partition, for engines that hand out rows one after another. Used by one thread. Whoever
 * closes it before it has finished undoes what it has written.
 */
public final class PartitionRun implements AutoCloseable {
    private final StageCall call;
    private final int partition;
    private final int dimension;
    private final StageControl control;
    private StageCall.Open open;
    private StageRows sink;
    private FaissIndexException failure;

    PartitionRun(StageCall call, int partition, int dimension, StageControl control) {
        this.call = call;
        this.partition = partition;
        this.dimension = dimension;
        this.control = control;
    }

    /**
     * Takes more rows. Once the stage has failed for good it passes them over, and {@link #finish()} says why.
     *
     * @throws Exception what a new attempt may not meet again, and whatever the rows throw
     */
    public void take(RowSource rows) throws Exception {
        if (failure != null) {
            return;
        }
        try {
            rows.forEachRow(openSink());
        } catch (FaissIndexException failed) {
            failure = StageCall.lasting(failed, control);
        }
    }

    /**
     * Ends the partition.
     *
     * @throws Exception what a new attempt may not meet again
     */
    public StageOutcome finish() throws Exception {
        if (failure != null) {
            return StageOutcome.failed(failure);
        }
        try {
            openSink().flush();
            return StageOutcome.done(open.stage().finish());
        } catch (FaissIndexException failed) {
            return StageOutcome.failed(StageCall.lasting(failed, control));
        }
    }

    @Override
    public void close() throws IOException {
        if (open != null) {
            open.close();
        }
    }

    private StageRows openSink() throws IOException {
        if (open == null) {
            open = call.new Open(partition, control);
            sink = new StageRows(open.stage(), dimension);
        }
        return sink;
    }
}
