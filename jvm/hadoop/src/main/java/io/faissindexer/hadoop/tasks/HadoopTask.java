package io.faissindexer.hadoop.tasks;

import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;
import java.util.concurrent.TimeUnit;

/**
 * A task of Hadoop's that runs a stage on the thread that makes this. Hadoop, whose time-out ends a task that says
 * nothing, is told that it is alive while native code works and when it has dealt with rows, but not while it waits for
 * input: a reader that hangs is for the time-out to end.
 */
public abstract class HadoopTask implements StageControl {
    private final Thread worker = Thread.currentThread();
    private final long begin = System.nanoTime();

    /** Adds to a counter of the group {@link StageCounter#GROUP}. */
    protected abstract void count(String counter, long more);

    /** Tells Hadoop that the task is alive. */
    protected abstract void keepAlive();

    @Override
    public final boolean isCancelled() {
        return worker.isInterrupted();
    }

    @Override
    public final void onProgress(long moreRows, long moreBytes) {
        count(StageCounter.ROWS.counterName(), moreRows);
        count(StageCounter.BYTES.counterName(), moreBytes);
        keepAlive();
    }

    @Override
    public final void onWork() {
        keepAlive();
    }

    /** Counts how the stage has ended; to be called once, before the outcome is handed on. */
    public final void end(StageOutcome outcome) {
        double seconds = (System.nanoTime() - begin) / (double) TimeUnit.SECONDS.toNanos(1);
        count(StageCounter.SECONDS.counterName(), Math.round(seconds));
        outcome.badRows().forEach((kind, rows) -> count(StageCounter.BAD_ROWS.counterName() + " " + kind, rows));
        if (!outcome.isDone()) {
            count(StageCounter.FAILED_TASKS.counterName(), 1);
        }
    }
}
