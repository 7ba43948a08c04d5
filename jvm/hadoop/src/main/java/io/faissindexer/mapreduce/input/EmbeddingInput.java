package io.faissindexer.mapreduce.input;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.FirstDimension;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.mapreduce.InputSplit;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.RecordReader;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.TaskAttemptID;
import org.apache.hadoop.mapreduce.TaskType;
import org.apache.hadoop.mapreduce.lib.input.FileInputFormat;
import org.apache.hadoop.mapreduce.task.TaskAttemptContextImpl;

/** The files that a build reads, as the driver knows them. */
public final class EmbeddingInput {
    private final Configuration configuration;
    private final Path[] paths;

    /** Files, directories and patterns, any of Hadoop's file systems, by the rules of {@link InputSettings}. */
    public EmbeddingInput(List<String> inputs, Configuration configuration) {
        this.configuration = new Configuration(configuration);
        // Tables are directories of partitions.
        this.configuration.setBooleanIfUnset(FileInputFormat.INPUT_DIR_RECURSIVE, true);
        try {
            paths = inputs.stream().map(Path::new).toArray(Path[]::new);
        } catch (IllegalArgumentException malformed) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "--input: " + malformed.getMessage(), malformed);
        }
    }

    /** Where the files are. */
    public Path[] paths() {
        return paths.clone();
    }

    /** Makes a job read the files. */
    public void configure(Job job) throws IOException {
        job.setInputFormatClass(EmbeddingInputFormat.class);
        FileInputFormat.setInputPaths(job, paths);
        FileInputFormat.setInputDirRecursive(job, configuration.getBoolean(FileInputFormat.INPUT_DIR_RECURSIVE, true));
    }

    /**
     * Checks that there is something at every path.
     *
     * @throws FaissIndexException of kind INVALID_SPEC, naming the path
     */
    public void requireReadable() {
        try {
            for (Path path : paths) {
                FileSystem fileSystem = path.getFileSystem(configuration);
                FileStatus[] found = fileSystem.globStatus(path);
                if (found == null || found.length == 0) {
                    throw new FaissIndexException(Kind.INVALID_SPEC, "--input: there is no " + path);
                }
            }
        } catch (IOException | IllegalArgumentException unreadable) {
            // The second is what Hadoop says of a host that nobody knows.
            throw new FaissIndexException(Kind.INVALID_SPEC, "--input: " + unreadable.getMessage(), unreadable);
        }
    }

    /** The components of the first embedding that is found; the driver reads the rows before it and no other. */
    public OptionalInt firstDimension() {
        try {
            Job job = Job.getInstance(configuration);
            configure(job);
            EmbeddingInputFormat format = new EmbeddingInputFormat();
            for (InputSplit split : new ArrayList<>(format.getSplits(job))) {
                OptionalInt found = firstDimension(format, split, job.getConfiguration());
                if (found.isPresent()) {
                    return found;
                }
            }
            return OptionalInt.empty();
        } catch (IOException unreadable) {
            throw new FaissIndexException(
                    Kind.STORAGE, "the input cannot be read: " + unreadable.getMessage(), unreadable);
        }
    }

    private static OptionalInt firstDimension(
            EmbeddingInputFormat format, InputSplit split, Configuration configuration) throws IOException {
        TaskAttemptContext context = new TaskAttemptContextImpl(
                configuration, new TaskAttemptID("driver", 0, TaskType.MAP, 0, 0));
        try (RecordReader<NullWritable, EmbeddingRow> records = format.createRecordReader(split, context)) {
            records.initialize(split, context);
            return FirstDimension.of(sink -> {
                while (records.nextKeyValue()) {
                    records.getCurrentValue().giveTo(sink);
                }
            });
        } catch (IOException | RuntimeException failure) {
            throw failure;
        } catch (Exception failure) {
            throw new IOException(failure);
        }
    }
}
