package io.faissindexer.beam;

import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.beam.sdk.metrics.Metrics;

/** A stage at work on the thread that makes this, and what it counts, as the pages of a runner show it. */
final class StageMetrics implements StageControl, AutoCloseable {
    private static final String NAMESPACE = "faiss-indexer";

    private final int threads;
    private final Thread worker = Thread.currentThread();
    private final long begin = System.nanoTime();
    private final AtomicLong rows = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicBoolean isAtWork = new AtomicBoolean(true);

    StageMetrics(int threads) {
        this.threads = threads;
        StagesAtWork.ofProcess().begin();
    }

    @Override
    public int threads() {
        return threads;
    }

    @Override
    public boolean isCancelled() {
        return worker.isInterrupted() || StagesAtWork.ofProcess().isHalted();
    }

    /** Beam knows metrics on the thread of a bundle only, so that they wait for its end. */
    @Override
    public void onProgress(long moreRows, long moreBytes) {
        rows.addAndGet(moreRows);
        bytes.addAndGet(moreBytes);
    }

    /** Counts how the stage has ended; to be called once, on the thread of the bundle. */
    void end(StageOutcome outcome) {
        Metrics.counter(NAMESPACE, "rows").inc(rows.get());
        Metrics.counter(NAMESPACE, "bytes").inc(bytes.get());
        long milliseconds = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
        Metrics.distribution(NAMESPACE, "milliseconds").update(milliseconds);
        outcome.badRows().forEach((kind, number) -> Metrics.counter(NAMESPACE, "bad rows " + kind).inc(number));
        if (!outcome.isDone()) {
            Metrics.counter(NAMESPACE, "failed tasks").inc();
        }
    }

    /** The stage is at work no longer, however it has ended. */
    @Override
    public void close() {
        if (isAtWork.getAndSet(false)) {
            StagesAtWork.ofProcess().end();
        }
    }
}
