package io.faissindexer.mapreduce;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.HadoopFiles;
import io.faissindexer.mapreduce.input.EmbeddingInput;
import io.faissindexer.stages.Engine;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.storage.FileSystemHook;
import java.io.Closeable;
import java.io.IOException;
import java.io.InterruptedIOException;
import java.io.Serializable;
import java.net.SocketTimeoutException;
import java.nio.channels.ClosedByInterruptException;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import java.util.function.Consumer;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.MRConfig;
import org.apache.hadoop.mapreduce.security.TokenCache;

/** Runs the stages of a build as jobs without reducers, each split of the input where it lies. */
public final class MapReduceEngine implements Engine, Closeable {
    private final Configuration configuration;
    private final EmbeddingInput input;
    private final Path output;
    private final TaskResources resources;
    private final Consumer<String> announcements;
    private final StagingDirectory staging;
    private final JobJars jars;
    /** Rows of the last stage that read them all: what the next one will read. */
    private long expectedRows;

    /**
     * An engine for the build of one index.
     *
     * @param configuration of the cluster; nothing of it is changed
     * @param output where the index will be
     * @param announcements takes single lines about how far the jobs are
     */
    public MapReduceEngine(Configuration configuration, EmbeddingInput input, IndexSpec spec, String output,
            Consumer<String> announcements) throws IOException {
        this.configuration = new Configuration(configuration);
        this.input = input;
        this.output = new Path(output);
        this.announcements = announcements;
        resources = new TaskResources(spec, announcements);
        staging = new StagingDirectory(this.configuration);
        jars = new JobJars(this.configuration, staging);
    }

    @Override
    public String input() {
        return Arrays.stream(input.paths()).map(Path::toString).collect(Collectors.joining(", "));
    }

    @Override
    public OptionalInt firstDimension() {
        return input.firstDimension();
    }

    @Override
    public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
        return run(name, stage, stage.nativeMemory(threadsOfTask()), expectedRows, job -> {
            input.configure(job);
            job.setMapperClass(PartitionMapper.class);
        });
    }

    @Override
    public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
        return run(name, stage, stage.nativeMemory(threadsOfTask()), 0, job -> {
            NumberedTasks.configure(job, tasks);
            job.setMapperClass(RowlessMapper.class);
            // A second attempt beside a healthy one would write the whole index again.
            job.setMapSpeculativeExecution(false);
        });
    }

    @Override
    public int threadsOfTask() {
        return TaskResources.threads(configuration);
    }

    @Override
    public FileSystemHook.Factory files() {
        return new HadoopFiles(configuration);
    }

    /** Deletes what the jobs have left. */
    @Override
    public void close() throws IOException {
        staging.close();
    }

    private interface Preparation {
        void of(Job job) throws IOException;
    }

    private List<StageOutcome> run(
            String name, Serializable stage, long nativeBytes, long rowsToCome, Preparation preparation) {
        try {
            Job job = Job.getInstance(configuration, "faiss-indexer: " + name + ": " + output);
            preparation.of(job);
            resources.configure(job, name, nativeBytes);
            jars.configure(job);
            TokenCache.obtainTokensForNamenodes(
                    job.getCredentials(), new Path[] {output, staging.path()}, job.getConfiguration());
            StageFiles files = staging.stage(name, stage);
            files.configure(job);
            JobProgress progress = new JobProgress(name, job, rowsToCome, announcements);
            List<StageOutcome> outcomes = new JobRun(job, files, progress).outcomes();
            expectedRows = Math.max(expectedRows, progress.rows());
            return outcomes;
        } catch (IOException | ClassNotFoundException | InterruptedException failure) {
            if (isInterrupt(failure)) {
                throw new FaissIndexException(Kind.CANCELLED, "the build was interrupted", failure);
            }
            throw new FaissIndexException(
                    Kind.STORAGE, "the job of '" + name + "' cannot be run: " + failure.getMessage(), failure);
        }
    }

    /**
     * Whether work ended because the thread was interrupted, which Hadoop wraps in exceptions of many kinds. Takes the
     * interrupt, with which nothing could be cleaned up.
     */
    private static boolean isInterrupt(Throwable failure) {
        boolean isInterrupt = Thread.interrupted();
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            isInterrupt |= cause instanceof InterruptedException || cause instanceof ClosedByInterruptException
                    || cause instanceof InterruptedIOException && !(cause instanceof SocketTimeoutException);
        }
        return isInterrupt;
    }

    /** Whether jobs run inside the process that submits them. */
    static boolean runsLocally(Configuration configuration) {
        return MRConfig.LOCAL_FRAMEWORK_NAME.equals(
                configuration.get(MRConfig.FRAMEWORK_NAME, MRConfig.LOCAL_FRAMEWORK_NAME));
    }
}
