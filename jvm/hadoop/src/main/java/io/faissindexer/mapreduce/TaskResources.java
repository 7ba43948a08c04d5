package io.faissindexer.mapreduce;

import io.faissindexer.IndexSpec;
import io.faissindexer.SpecKey;
import io.faissindexer.hadoop.TaskContainer;
import io.faissindexer.hadoop.TaskKind;
import java.util.function.Consumer;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.MRJobConfig;

/** What a task gets of its machine. */
final class TaskResources {
    /** What clients of Hadoop before 3.4 do not open to a master on a Java of 9 or later. An earlier Java skips it. */
    private static final String MODULE_OF_MASTER = "--add-opens=java.base/java.lang=ALL-UNNAMED";
    private static final String OPTIONS_OF_MASTER = " -XX:+IgnoreUnrecognizedVMOptions " + MODULE_OF_MASTER;

    private final String threads;
    private final Consumer<String> announcements;

    TaskResources(IndexSpec spec, Consumer<String> announcements) {
        threads = spec.values().get(SpecKey.THREADS.key());
        this.announcements = announcements;
    }

    /** Asks for what the tasks of a stage need, of which native code takes some outside the heap. */
    void configure(Job job, String stage, long nativeBytes) {
        Configuration configuration = job.getConfiguration();
        if (MapReduceEngine.runsLocally(configuration)) {
            return;
        }
        String master = configuration.get(MRJobConfig.MR_AM_COMMAND_OPTS, MRJobConfig.DEFAULT_MR_AM_COMMAND_OPTS);
        if (!master.contains(MODULE_OF_MASTER)) {
            configuration.set(MRJobConfig.MR_AM_COMMAND_OPTS, master + OPTIONS_OF_MASTER);
        }
        int stated = threads == null ? 0 : Integer.parseInt(threads.trim());
        TaskContainer container = new TaskContainer(TaskKind.MAP, configuration, stage, nativeBytes, stated);
        container.settings().forEach(configuration::set);
        container.announcements().forEach(announcements);
    }

    /** The threads of one task, unless the spec says how many. */
    static int threads(Configuration configuration) {
        if (MapReduceEngine.runsLocally(configuration)) {
            return Runtime.getRuntime().availableProcessors();
        }
        return TaskKind.MAP.coresIn(configuration);
    }
}
