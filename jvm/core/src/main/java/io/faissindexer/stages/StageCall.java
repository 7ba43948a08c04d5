package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.internal.NativeLibrary;
import io.faissindexer.internal.NativeStage;
import io.faissindexer.storage.FileSystemHook;
import java.io.Serializable;
import java.util.List;

/** What a task must know to run a stage, whatever its rows. */
final class StageCall implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Work on an open stage, which ends with {@link NativeStage#finish()}. */
    interface Work {
        String on(NativeStage stage) throws Exception;
    }

    private final String stage;
    private final String build;
    private final String[] receipts;
    private final FileSystemHook.Factory files;

    StageCall(String stage, String build, List<String> receipts, FileSystemHook.Factory files) {
        this.stage = stage;
        this.build = build;
        this.receipts = receipts.toArray(new String[0]);
        this.files = files;
    }

    StageOutcome run(int partition, StageControl control, Work work) throws Exception {
        // A machine that cannot load the library says nothing about the others, so the engine may try elsewhere.
        NativeLibrary.load();
        try {
            return StageOutcome.done(receiptOf(partition, control, work));
        } catch (FaissIndexException failure) {
            if (failure.isRetryable() || control.isCancelled()) {
                throw failure;
            }
            return StageOutcome.failed(failure);
        }
    }

    private String receiptOf(int partition, StageControl control, Work work) throws Exception {
        // The stage is closed before the hook through which it aborts its files.
        try (FileSystemHook hook = files.open();
                NativeStage open = NativeStage.open(stage, build, receipts, partition, hook, control)) {
            return work.on(open);
        }
    }
}
