package io.faissindexer.stages;

import io.faissindexer.internal.NativeStage;
import java.io.Serializable;

/** A stage that runs once, without rows. Travels to a task of an engine. */
public final class SingleTaskStage implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final int ONLY_PARTITION = 0;

    private final StageCall call;

    SingleTaskStage(StageCall call) {
        this.call = call;
    }

    /**
     * Runs the stage.
     *
     * @throws Exception what a new attempt may not meet again
     */
    public StageOutcome run(StageControl control) throws Exception {
        return call.run(ONLY_PARTITION, control, NativeStage::finish);
    }
}
