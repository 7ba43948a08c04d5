package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.internal.NativeBridge;
import io.faissindexer.internal.NativeLibrary;
import io.faissindexer.internal.NativeStage;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
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
    private final String buildName;
    private final String build;
    private final String[] receipts;
    private final FileSystemHook.Factory files;

    StageCall(
            String stage, String buildName, String build, List<String> receipts, FileSystemHook.Factory files) {
        this.stage = stage;
        this.buildName = buildName;
        this.build = build;
        this.receipts = receipts.toArray(new String[0]);
        this.files = files;
    }

    String stage() {
        return stage;
    }

    String buildName() {
        return buildName;
    }

    long nativeMemory(int threads) {
        loadLibrary();
        return NativeBridge.taskMemory(stage, build, receipts, threads);
    }

    StageOutcome run(int partition, StageControl control, Work work) throws Exception {
        loadLibrary();
        try (Open open = new Open(partition, control)) {
            return StageOutcome.done(work.on(open.stage));
        } catch (FaissIndexException failure) {
            return StageOutcome.failed(lasting(failure, control));
        }
    }

    /** A machine that cannot load the library says nothing about the others, so the engine may try elsewhere. */
    static void loadLibrary() {
        NativeLibrary.load();
    }

    /** A failure that would only repeat itself; throws any other. */
    static FaissIndexException lasting(FaissIndexException failure, StageControl control) {
        if (failure.isRetryable() || control.isCancelled()) {
            throw failure;
        }
        return failure;
    }

    /** The stage while it is open, with the hook through which it reaches files. */
    final class Open implements AutoCloseable {
        private final FileSystemHook hook;
        private final NativeStage stage;

        Open(int partition, StageControl control) throws IOException {
            hook = files.open();
            NativeStage opened = null;
            try {
                opened = NativeStage.open(StageCall.this.stage, build, receipts, partition, hook, control);
            } finally {
                if (opened == null && hook != null) {
                    hook.close();
                }
            }
            stage = opened;
        }

        NativeStage stage() {
            return stage;
        }

        /** The stage is closed before the hook through which it aborts its files. */
        @Override
        public void close() throws IOException {
            try {
                stage.close();
            } finally {
                if (hook != null) {
                    hook.close();
                }
            }
        }
    }
}
