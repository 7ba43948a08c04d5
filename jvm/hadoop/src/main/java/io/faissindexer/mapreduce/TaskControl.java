package io.faissindexer.mapreduce;

import io.faissindexer.stages.StageControl;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.mapreduce.Counter;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/** Ends the work of a task that is interrupted, and counts what it does. */
final class TaskControl implements StageControl {
    private final int threads;
    private final Thread task = Thread.currentThread();
    private final long begin = System.nanoTime();
    private final Counter rows;
    private final Counter bytes;
    private final Counter seconds;
    private final Counter failures;

    TaskControl(TaskAttemptContext context) {
        threads = TaskResources.threads(context.getConfiguration());
        rows = StageCounters.ROWS.in(context);
        bytes = StageCounters.BYTES.in(context);
        seconds = StageCounters.SECONDS.in(context);
        failures = StageCounters.FAILED_TASKS.in(context);
    }

    @Override
    public int threads() {
        return threads;
    }

    @Override
    public boolean isCancelled() {
        return task.isInterrupted();
    }

    @Override
    public void onProgress(long moreRows, long moreBytes) {
        rows.increment(moreRows);
        bytes.increment(moreBytes);
    }

    /** The stage has ended in this task. */
    void end(boolean isDone) {
        seconds.increment(Math.round((System.nanoTime() - begin) / (double) TimeUnit.SECONDS.toNanos(1)));
        if (!isDone) {
            failures.increment(1);
        }
    }
}
