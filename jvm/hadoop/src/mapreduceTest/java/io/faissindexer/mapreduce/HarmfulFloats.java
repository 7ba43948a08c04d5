package io.faissindexer.mapreduce;

import java.io.DataInput;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configurable;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.io.ArrayWritable;
import org.apache.hadoop.io.FloatWritable;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.mapreduce.MRJobConfig;

/** An embedding that may do harm, once, to the task that encodes it. */
public final class HarmfulFloats extends ArrayWritable implements Configurable {
    /** The first component of the embedding that kills its task, and of the one that stalls it. */
    static final String KILLS = "test.kills";
    static final String STALLS = "test.stalls";
    /** A directory for marks of what was done: files with the names of the attempts that it was done to. */
    static final String MARKS = "test.marks";
    /** Longer than any test waits. */
    private static final long STALL_MILLIS = TimeUnit.MINUTES.toMillis(20);

    private static volatile Configuration encodingTask;

    private Configuration configuration;

    public HarmfulFloats() {
        super(FloatWritable.class);
    }

    @Override
    public void setConf(Configuration given) {
        configuration = given;
        if (given.get(MRJobConfig.TASK_ATTEMPT_ID) != null && given.get(MRJobConfig.JOB_NAME, "").contains("encode")) {
            encodingTask = given;
        }
    }

    /** The configuration of the task that this process is, if it encodes such rows. */
    static Configuration encodingTask() {
        return encodingTask;
    }

    @Override
    public Configuration getConf() {
        return configuration;
    }

    @Override
    public void readFields(DataInput input) throws IOException {
        super.readFields(input);
        Writable[] components = get();
        String first = components[0].toString();
        if (encodingTask == null) {
            return;
        }
        if (first.equals(configuration.get(KILLS)) && isFirst(configuration, "killed")) {
            String process = ManagementFactory.getRuntimeMXBean().getName().split("@")[0];
            new ProcessBuilder("kill", "-9", process).start();
            sleep(STALL_MILLIS);
        }
        if (first.equals(configuration.get(STALLS)) && isFirst(configuration, "stalled")) {
            sleep(STALL_MILLIS);
        }
    }

    /** Leaves a mark, unless there is one already. */
    static boolean isFirst(Configuration configuration, String mark) throws IOException {
        Path file = Paths.get(configuration.get(MARKS), mark);
        byte[] attempt = configuration.get(MRJobConfig.TASK_ATTEMPT_ID).getBytes(StandardCharsets.UTF_8);
        try {
            Files.write(file, attempt, StandardOpenOption.CREATE_NEW);
            return true;
        } catch (FileAlreadyExistsException done) {
            return false;
        }
    }

    static void sleep(long millis) throws IOException {
        try {
            Thread.sleep(millis);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException(interrupted);
        }
    }
}
