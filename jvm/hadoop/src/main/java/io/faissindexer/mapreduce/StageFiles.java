package io.faissindexer.mapreduce;

import io.faissindexer.hadoop.tasks.OutcomeBytes;
import io.faissindexer.hadoop.tasks.StageFile;
import io.faissindexer.stages.StageOutcome;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.SortedMap;
import java.util.TreeMap;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.IntWritable;
import org.apache.hadoop.io.SequenceFile;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.lib.output.FileOutputCommitter;
import org.apache.hadoop.mapreduce.lib.output.FileOutputFormat;
import org.apache.hadoop.mapreduce.lib.output.SequenceFileOutputFormat;

/**
 * The files of one job: the stage, which may be too large for a job's configuration, and one record for each task with
 * its number and its serialised outcome. Hadoop's committer sees to it that only one attempt of a task counts.
 */
final class StageFiles {
    private static final String STAGE_FILE = "faissindexer.stage.file";
    private static final String COMMIT_AT_ONCE = "2";

    private final Path directory;

    StageFiles(Path directory) {
        this.directory = directory;
    }

    Path stage() {
        return new Path(directory, "stage");
    }

    void configure(Job job) {
        Configuration configuration = job.getConfiguration();
        configuration.set(STAGE_FILE, stage().toString());
        // Outcomes of tasks that have ended can be read before all have; a record is one file, renamed whole.
        configuration.set(FileOutputCommitter.FILEOUTPUTCOMMITTER_ALGORITHM_VERSION, COMMIT_AT_ONCE);
        configuration.setBoolean(FileOutputCommitter.SUCCESSFUL_JOB_OUTPUT_DIR_MARKER, false);
        job.setOutputFormatClass(SequenceFileOutputFormat.class);
        job.setOutputKeyClass(IntWritable.class);
        job.setOutputValueClass(BytesWritable.class);
        FileOutputFormat.setOutputPath(job, outcomesDirectory());
    }

    /** In a task: the stage that it runs. */
    static Object readStage(Configuration configuration) throws IOException {
        return StageFile.read(new Path(configuration.get(STAGE_FILE)), configuration);
    }

    /** The outcomes of the tasks that have been committed so far, by number. */
    SortedMap<Integer, StageOutcome> outcomes(Configuration configuration) throws IOException {
        SortedMap<Integer, StageOutcome> outcomes = new TreeMap<>();
        FileStatus[] files;
        try {
            files = directory.getFileSystem(configuration).listStatus(outcomesDirectory(), path -> isVisible(path));
        } catch (FileNotFoundException nothingYet) {
            return outcomes;
        }
        for (FileStatus file : files) {
            try (SequenceFile.Reader reader =
                    new SequenceFile.Reader(configuration, SequenceFile.Reader.file(file.getPath()))) {
                IntWritable task = new IntWritable();
                BytesWritable outcome = new BytesWritable();
                while (reader.next(task, outcome)) {
                    outcomes.put(task.get(), OutcomeBytes.read(outcome.getBytes(), outcome.getLength()));
                }
            }
        }
        return outcomes;
    }

    private Path outcomesDirectory() {
        return new Path(directory, "outcomes");
    }

    private static boolean isVisible(Path path) {
        return !path.getName().startsWith("_") && !path.getName().startsWith(".");
    }
}
