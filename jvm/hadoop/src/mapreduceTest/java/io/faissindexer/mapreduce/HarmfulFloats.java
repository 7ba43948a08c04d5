package io.faissindexer.mapreduce;

import java.io.DataInput;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Paths;
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
    /** A directory for marks of what was done. */
    static final String MARKS = "test.marks";
    static final long STALL_MILLIS = 40_000;

    private Configuration configuration;

    public HarmfulFloats() {
        super(FloatWritable.class);
    }

    @Override
    public void setConf(Configuration given) {
        configuration = given;
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
        if (!configuration.get(MRJobConfig.JOB_NAME, "").contains("encode")) {
            return;
        }
        if (first.equals(configuration.get(KILLS)) && isFirst("killed")) {
            String process = ManagementFactory.getRuntimeMXBean().getName().split("@")[0];
            new ProcessBuilder("kill", "-9", process).start();
            sleep();
        }
        if (first.equals(configuration.get(STALLS)) && isFirst("stalled")) {
            sleep();
            Files.createFile(Paths.get(configuration.get(MARKS), "survived"));
        }
    }

    private boolean isFirst(String mark) throws IOException {
        try {
            Files.createFile(Paths.get(configuration.get(MARKS), mark));
            return true;
        } catch (FileAlreadyExistsException done) {
            return false;
        }
    }

    private static void sleep() throws IOException {
        try {
            Thread.sleep(STALL_MILLIS);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new IOException(interrupted);
        }
    }
}
