package io.faissindexer.stages;

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

    /** What the stage is called, such as {@code encode}. */
    public String name() {
        return call.stage();
    }

    /** {@link StagedBuild#name()} of the build that it is a stage of. */
    public String buildName() {
        return call.buildName();
    }

    /**
     * Bytes that one task takes at most outside the heap of its JVM, estimated for the driver to ask for.
     *
     * @param threads as {@link StageControl#threads()} will say
     */
    public long nativeMemory(int threads) {
        return call.nativeMemory(threads);
    }

    /**
     * Runs the stage over one partition.
     *
     * @param partition the number of the partition, the same in every attempt
     * @throws Exception what a new attempt may not meet again, and whatever the rows throw
     */
    public StageOutcome run(int partition, RowSource rows, StageControl control) throws Exception {
        try (PartitionRun run = begin(partition, control)) {
            run.take(rows);
            return run.finish();
        }
    }

    /**
     * Begins one partition of an engine that hands out rows one after another.
     *
     * @param partition the number of the partition, the same in every attempt
     */
    public PartitionRun begin(int partition, StageControl control) {
        StageCall.loadLibrary();
        return new PartitionRun(call, partition, dimension, control);
    }
}
