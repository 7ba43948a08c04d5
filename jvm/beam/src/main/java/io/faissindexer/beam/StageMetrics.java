package io.faissindexer.beam;

import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.beam.sdk.metrics.Counter;
import org.apache.beam.sdk.metrics.Metrics;

/**
 * A stage at work on the thread that makes this, and what it counts, as the pages of a runner show it. The name of each
 * metric begins with that of the stage.
 */
final class StageMetrics implements StageControl, AutoCloseable {
    static final String NAMESPACE = "faiss-indexer";
    static final String BEGUN = " begun";
    static final String ROWS = " rows";
    /** What counts rows by group and dimension, which is no stage of the core's. */
    static final String COUNT = "count";
    /** What puts the index in place, which is no stage of the core's. */
    static final String PUBLISH = "publish";

    private final String stage;
    private final String build;
    private final int threads;
    private final Thread worker = Thread.currentThread();
    private final long begin = System.nanoTime();
    private final AtomicLong rows = new AtomicLong();
    private final AtomicLong bytes = new AtomicLong();
    private final AtomicBoolean isAtWork = new AtomicBoolean(true);

    StageMetrics(String stage, String build, int threads) {
        this.stage = stage;
        this.build = build;
        this.threads = threads;
        StagesAtWork.ofProcess().begin(build);
    }

    /** Counts that a stage has its turn, which may be long before the end of the first of its bundles. */
    static void begun(String stage) {
        counter(stage, BEGUN).inc();
    }

    /** Counts rows that a stage has dealt with. */
    static void countRows(String stage, long rows) {
        counter(stage, ROWS).inc(rows);
    }

    @Override
    public int threads() {
        return threads;
    }

    @Override
    public boolean isCancelled() {
        return worker.isInterrupted() || StagesAtWork.ofProcess().isHalted(build);
    }

    /** Beam knows metrics on the thread of a bundle only, so that they wait for {@link #count()}. */
    @Override
    public void onProgress(long moreRows, long moreBytes) {
        rows.addAndGet(moreRows);
        bytes.addAndGet(moreBytes);
    }

    /** Counts what has been dealt with since the last call, on the thread of the bundle. */
    void count() {
        if (rows.get() > 0) {
            countRows(stage, rows.getAndSet(0));
        }
        if (bytes.get() > 0) {
            counter(stage, " bytes").inc(bytes.getAndSet(0));
        }
    }

    /** Counts how the stage has ended; to be called once, on the thread of the bundle. */
    void end(StageOutcome outcome) {
        count();
        long milliseconds = TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - begin);
        Metrics.distribution(NAMESPACE, stage + " milliseconds").update(milliseconds);
        outcome.badRows().forEach((kind, number) -> counter(stage, " bad rows " + kind).inc(number));
        if (!outcome.isDone()) {
            counter(stage, " failed tasks").inc();
        }
    }

    /** The stage is at work no longer, however it has ended. */
    @Override
    public void close() {
        if (isAtWork.getAndSet(false)) {
            StagesAtWork.ofProcess().end(build);
        }
    }

    private static Counter counter(String stage, String what) {
        return Metrics.counter(NAMESPACE, stage + what);
    }
}
