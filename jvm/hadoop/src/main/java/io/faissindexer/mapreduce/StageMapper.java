package io.faissindexer.mapreduce;

import io.faissindexer.hadoop.tasks.OutcomeBytes;
import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;
import java.io.IOException;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.IntWritable;
import org.apache.hadoop.mapreduce.Mapper;

/** Runs a stage over everything that a task reads, and writes one record. */
abstract class StageMapper<V> extends Mapper<Object, V, IntWritable, BytesWritable> {
    /** Runs the stage of the job as the task with a number. */
    abstract StageOutcome run(Object stage, int task, Context context, StageControl control) throws Exception;

    @Override
    public final void run(Context context) throws IOException, InterruptedException {
        int task = context.getTaskAttemptID().getTaskID().getId();
        TaskControl control = new TaskControl(context);
        try {
            StageOutcome outcome = run(StageFiles.readStage(context.getConfiguration()), task, context, control);
            control.end(outcome);
            context.write(new IntWritable(task), new BytesWritable(OutcomeBytes.of(outcome)));
        } catch (IOException | InterruptedException | RuntimeException failure) {
            throw failure;
        } catch (Exception failure) {
            throw new IOException(failure);
        }
    }
}
