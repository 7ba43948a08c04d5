package io.faissindexer.internal;

import io.faissindexer.stages.StageControl;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Supplier;

/**
 * A stage inside the native library. One thread works with it. While it is open, a watchdog thread looks after the
 * control: it cancels the native work when the engine wants that, says that it goes on, and passes progress and log
 * records on.
 */
public final class NativeStage implements AutoCloseable {
    private static final Log LOG = Log.named(NativeStage.class.getName());
    private static final long WATCH_MILLIS = 200;

    /** Zero until the stage is open, and when it has been closed. */
    private final AtomicLong handle = new AtomicLong();
    private final StageControl control;
    private final Thread watchdog;
    private volatile boolean ended;
    private volatile boolean isWorking;
    /** Guarded by the watchdog until it has ended. */
    private long rowsReported;
    private long bytesReported;

    private NativeStage(String name, StageControl control) {
        this.control = control;
        watchdog = new Thread(this::watch, "faiss-indexer watchdog of " + name);
        watchdog.setDaemon(true);
        watchdog.start();
    }

    /** Opens a stage of one partition, with the threads that the engine gives it. */
    public static NativeStage open(
            String stage, String build, String[] receipts, int partition, Object files, StageControl control) {
        NativeStage opened = new NativeStage(stage + " " + partition, control);
        try {
            int threads = control.threads();
            opened.handle.set(opened.working(
                    () -> NativeBridge.openStage(stage, build, receipts, partition, threads, files)));
            return opened;
        } finally {
            if (opened.handle.get() == 0) {
                opened.endWatch();
            }
        }
    }

    /** Gives the stage the rows of a batch. */
    void append(VectorBuffer batch) {
        working(() -> {
            NativeBridge.append(handle.get(), batch.idBytes(), batch.vectorBytes(), batch.rows());
            return null;
        });
    }

    /** Tells the stage of a row that cannot be in a batch, for one of the reasons of {@link NativeBridge}. */
    void reject(int reason, long id, int dimension) {
        NativeBridge.reject(handle.get(), reason, id, dimension);
    }

    /** Does the rest of the stage's work and returns its receipt. */
    public String finish() {
        String receipt = working(() -> NativeBridge.finish(handle.get()));
        endWatch();
        reportProgress();
        return receipt;
    }

    /** Frees the stage and what it holds; what it has not finished is undone. */
    @Override
    public void close() {
        endWatch();
        long open = handle.getAndSet(0);
        if (open != 0) {
            try {
                NativeBridge.close(open);
            } finally {
                NativeLogs.deliver();
            }
        }
    }

    /** Runs native code that may take long. */
    private <T> T working(Supplier<T> work) {
        isWorking = true;
        try {
            return work.get();
        } finally {
            isWorking = false;
        }
    }

    private void watch() {
        while (!ended) {
            try {
                Thread.sleep(WATCH_MILLIS);
            } catch (InterruptedException end) {
                return;
            }
            try {
                lookAfterStage();
            } catch (RuntimeException failure) {
                // Hosts such as Spark end the process when a thread dies, and the stage does without a watchdog.
                LOG.warn(Thread.currentThread().getName() + " failed: " + failure);
                return;
            }
        }
    }

    private void lookAfterStage() {
        if (isWorking) {
            control.onWork();
        }
        if (handle.get() == 0) {
            return;
        }
        if (control.isCancelled()) {
            NativeBridge.cancel(handle.get());
        }
        reportProgress();
        NativeLogs.deliver();
    }

    private void reportProgress() {
        long[] progress = NativeBridge.progress(handle.get());
        long rows = progress[0] - rowsReported;
        long bytes = progress[1] - bytesReported;
        if (rows > 0 || bytes > 0) {
            rowsReported += rows;
            bytesReported += bytes;
            control.onProgress(rows, bytes);
        }
    }

    /** Waits for the watchdog, after which this thread may do its work and the handle is used by nobody else. */
    private void endWatch() {
        ended = true;
        watchdog.interrupt();
        boolean interrupted = false;
        while (watchdog.isAlive()) {
            try {
                watchdog.join();
            } catch (InterruptedException later) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
