package io.faissindexer.mapreduce;

import java.io.DataInput;
import java.io.DataOutput;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.mapreduce.InputFormat;
import org.apache.hadoop.mapreduce.InputSplit;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.RecordReader;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/** Gives a job a number of tasks that read nothing. */
public final class NumberedTasks extends InputFormat<NullWritable, NullWritable> {
    private static final String TASKS = "faissindexer.stage.tasks";

    static void configure(Job job, int tasks) {
        job.getConfiguration().setInt(TASKS, tasks);
        job.setInputFormatClass(NumberedTasks.class);
    }

    @Override
    public List<InputSplit> getSplits(JobContext context) {
        List<InputSplit> splits = new ArrayList<>();
        for (int task = 0; task < context.getConfiguration().getInt(TASKS, 0); task++) {
            splits.add(new Nothing());
        }
        return splits;
    }

    @Override
    public RecordReader<NullWritable, NullWritable> createRecordReader(InputSplit split, TaskAttemptContext context) {
        return new NoRecords();
    }

    /** The part of the input that a task gets. */
    public static final class Nothing extends InputSplit implements Writable {
        @Override
        public long getLength() {
            return 0;
        }

        @Override
        public String[] getLocations() {
            return new String[0];
        }

        @Override
        public void write(DataOutput output) {
        }

        @Override
        public void readFields(DataInput input) {
        }
    }

    private static final class NoRecords extends RecordReader<NullWritable, NullWritable> {
        @Override
        public void initialize(InputSplit split, TaskAttemptContext context) {
        }

        @Override
        public boolean nextKeyValue() {
            return false;
        }

        @Override
        public NullWritable getCurrentKey() {
            return NullWritable.get();
        }

        @Override
        public NullWritable getCurrentValue() {
            return NullWritable.get();
        }

        @Override
        public float getProgress() {
            return 0;
        }

        @Override
        public void close() {
        }
    }
}
