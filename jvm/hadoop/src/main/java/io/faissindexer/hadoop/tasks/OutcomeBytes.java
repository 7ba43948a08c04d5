package io.faissindexer.hadoop.tasks;

import io.faissindexer.stages.StageOutcome;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;

/** An outcome on its way from a task to the driver. */
public final class OutcomeBytes {
    private OutcomeBytes() {
    }

    /** The outcome as bytes. */
    public static byte[] of(StageOutcome outcome) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream stream = new ObjectOutputStream(bytes)) {
            stream.writeObject(outcome);
        }
        return bytes.toByteArray();
    }

    /** The outcome in the first bytes of an array. */
    public static StageOutcome read(byte[] bytes, int length) throws IOException {
        return (StageOutcome) SerialForm.read(new ByteArrayInputStream(bytes, 0, length));
    }
}
