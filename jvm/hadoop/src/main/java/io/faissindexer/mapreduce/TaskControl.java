package io.faissindexer.mapreduce;

import io.faissindexer.hadoop.tasks.HadoopTask;
import io.faissindexer.hadoop.tasks.StageCounter;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/** A map task that runs a stage. */
final class TaskControl extends HadoopTask {
    private final TaskAttemptContext context;

    TaskControl(TaskAttemptContext context) {
        this.context = context;
    }

    @Override
    public int threads() {
        return TaskResources.threads(context.getConfiguration());
    }

    @Override
    protected void count(String counter, long more) {
        context.getCounter(StageCounter.GROUP, counter).increment(more);
    }

    @Override
    protected void keepAlive() {
        context.progress();
    }
}
