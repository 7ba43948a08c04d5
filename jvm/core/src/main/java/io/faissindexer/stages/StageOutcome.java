package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import java.io.Serializable;

/**
 * How a stage ended in one task. A failure that would only repeat itself is an outcome too, because an engine tries
 * again whatever throws.
 */
public final class StageOutcome implements Serializable {
    private static final long serialVersionUID = 1L;

    private final String receipt;
    private final FaissIndexException.Kind kind;
    private final String message;

    private StageOutcome(String receipt, FaissIndexException.Kind kind, String message) {
        this.receipt = receipt;
        this.kind = kind;
        this.message = message;
    }

    /** The stage is done. */
    static StageOutcome done(String receipt) {
        return new StageOutcome(receipt, null, null);
    }

    /** The stage has failed for good. */
    static StageOutcome failed(FaissIndexException failure) {
        return new StageOutcome(null, failure.kind(), failure.getMessage());
    }

    /** Whether the stage is done, and has not failed. */
    public boolean isDone() {
        return receipt != null;
    }

    /** Throws the failure, if the stage has failed; an engine calls it as soon as it has the outcome. */
    public void requireDone() {
        if (!isDone()) {
            throw new FaissIndexException(kind, message);
        }
    }

    /** The receipt of the stage; throws the failure when there is none. */
    String receipt() {
        requireDone();
        return receipt;
    }
}
