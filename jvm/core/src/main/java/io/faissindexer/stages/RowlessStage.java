package io.faissindexer.stages;

import io.faissindexer.internal.NativeStage;
import java.io.Serializable;

/** A stage that takes no rows: it goes by the receipts of earlier stages. Travels to the tasks of an engine. */
public final class RowlessStage implements Serializable {
    private static final long serialVersionUID = 1L;

    private final StageCall call;

    RowlessStage(StageCall call) {
        this.call = call;
    }

    /** What the stage is called, such as {@code merge}. */
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
     * Runs one task of the stage.
     *
     * @param task its number, the same in every attempt
     * @throws Exception what a new attempt may not meet again
     */
    public StageOutcome run(int task, StageControl control) throws Exception {
        return call.run(task, control, NativeStage::finish);
    }
}
