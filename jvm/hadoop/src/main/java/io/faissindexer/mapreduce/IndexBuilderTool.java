package io.faissindexer.mapreduce;

import io.faissindexer.CommandLine;
import io.faissindexer.FaissIndexException;
import io.faissindexer.mapreduce.input.InputSettings;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.conf.Configured;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.util.ShutdownHookManager;
import org.apache.hadoop.util.Tool;
import org.apache.hadoop.util.ToolRunner;

/** The program for {@code hadoop jar}: files of rows in, index out. */
public final class IndexBuilderTool extends Configured implements Tool {
    private static final String PROGRAM = "faiss-indexer-mapreduce";
    /** For Hadoop to end a job, and for the build to delete its files. */
    private static final long SECONDS_TO_CLEAN_UP = 60;

    /** Runs the program and ends the process with its exit code. */
    public static void main(String[] arguments) throws Exception {
        Thread builder = Thread.currentThread();
        CountDownLatch end = new CountDownLatch(1);
        // Before Hadoop closes its file systems.
        ShutdownHookManager.get().addShutdownHook(() -> awaitEnd(builder, end),
                FileSystem.SHUTDOWN_HOOK_PRIORITY + 1, SECONDS_TO_CLEAN_UP, TimeUnit.SECONDS);
        int exitCode;
        try {
            exitCode = ToolRunner.run(new Configuration(), new IndexBuilderTool(), arguments);
        } finally {
            end.countDown();
        }
        System.exit(exitCode);
    }

    /**
     * Runs the program and returns its exit code. The last line of stdout is the receipt as JSON; what goes on, and
     * what went wrong, is said on stderr.
     */
    @Override
    public int run(String[] arguments) {
        try {
            CommandLine line = CommandLine.parse(arguments);
            System.out.println(line.isHelp() ? help() : build(line));
            return 0;
        } catch (FaissIndexException failure) {
            say("error: " + failure.getMessage().replaceAll("\\s*\\R\\s*", " "));
            return failure.exitCode();
        } catch (RuntimeException failure) {
            failure.printStackTrace();
            say("error: " + failure);
            return 1;
        }
    }

    private String build(CommandLine line) {
        Configuration configuration = new Configuration(getConf());
        configuration.set(InputSettings.ID_COLUMN, line.idColumn());
        configuration.set(InputSettings.EMBEDDING_COLUMN, line.embeddingColumn());
        if (MapReduceEngine.runsLocally(configuration)) {
            say("jobs run in this process, because mapreduce.framework.name is local");
        }
        return FaissIndexer.build(configuration, line.inputs(), line.spec(), line.output(), IndexBuilderTool::say)
                .json();
    }

    private static String help() {
        return CommandLine.help(PROGRAM) + "\nHadoop's own options come first, such as -D mapreduce.job.queuename=NAME."
                + "\nInputs are recognised; -D " + InputSettings.FORMAT
                + "=parquet, sequencefile, avro or text says what they are.";
    }

    private static void awaitEnd(Thread builder, CountDownLatch end) {
        if (end.getCount() > 0) {
            builder.interrupt();
            try {
                end.await(SECONDS_TO_CLEAN_UP, TimeUnit.SECONDS);
            } catch (InterruptedException impatient) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void say(String line) {
        System.err.println(PROGRAM + ": " + line);
    }
}
