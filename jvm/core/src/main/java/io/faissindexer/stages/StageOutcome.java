package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.internal.NativeBridge;
import java.io.Serializable;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/**
 * How a stage ended in one task. A failure that would only repeat itself is an outcome too, because an engine tries
 * again whatever throws.
 */
public final class StageOutcome implements Serializable {
    private static final long serialVersionUID = 1L;

    private final String receipt;
    private final TreeMap<String, Long> badRows;
    private final FaissIndexException.Kind kind;
    private final String message;

    private StageOutcome(
            String receipt, TreeMap<String, Long> badRows, FaissIndexException.Kind kind, String message) {
        this.receipt = receipt;
        this.badRows = badRows;
        this.kind = kind;
        this.message = message;
    }

    /** The stage is done; the native library, which wrote the receipt, is loaded. */
    static StageOutcome done(String receipt) {
        TreeMap<String, Long> badRows = new TreeMap<>();
        String[] kinds = NativeBridge.badRows(receipt);
        for (int at = 0; at + 1 < kinds.length; at += 2) {
            badRows.put(kinds[at], Long.valueOf(kinds[at + 1]));
        }
        return new StageOutcome(receipt, badRows, null, null);
    }

    /** The stage has failed for good. */
    public static StageOutcome failed(FaissIndexException failure) {
        return new StageOutcome(null, new TreeMap<>(), failure.kind(), failure.getMessage());
    }

    /** Whether the stage is done, and has not failed. */
    public boolean isDone() {
        return receipt != null;
    }

    /**
     * How many rows the task met that no index can hold, by what is wrong with them: words that go on from "rows", such
     * as "without an id". Stages that read all rows count each; empty for the others, and for a stage that has failed.
     */
    public Map<String, Long> badRows() {
        return Collections.unmodifiableMap(badRows);
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
