package io.faissindexer.stages;

import io.faissindexer.internal.StageRows;
import java.io.Serializable;

/** A stage that every partition of the input goes through. Travels to the tasks of an engine. */
public final class PartitionStage implements Serializable {
    private static final long serialVersionUID = 1L;

    private final StageCall call;
    private final int dimension;

    PartitionStage(StageCall call, int dimension) {
        this.call = call;
        this.dimension = dimension;
    }

    /**
     * Runs the stage over one partition.
     *
     * @param partition the number of the partition, the same in every attempt
     * @throws Exception what a new attempt may not meet again, and whatever the rows throw
     */
    public StageOutcome run(int partition, RowSource rows, StageControl control) throws Exception {
        return call.run(partition, control, stage -> {
            StageRows sink = new StageRows(stage, dimension);
            rows.forEachRow(sink);
            sink.flush();
            return stage.finish();
        });
    }
}
