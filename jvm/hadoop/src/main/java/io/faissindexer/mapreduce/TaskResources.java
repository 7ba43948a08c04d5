package io.faissindexer.mapreduce;

import io.faissindexer.IndexSpec;
import io.faissindexer.SpecKey;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.MRJobConfig;

/** What a task gets of its machine. */
final class TaskResources {
    private final String threads;

    TaskResources(IndexSpec spec) {
        threads = spec.values().get(SpecKey.THREADS.key());
    }

    void configure(Job job) {
        Configuration configuration = job.getConfiguration();
        if (threads != null) {
            configuration.set(MRJobConfig.MAP_CPU_VCORES, threads.trim());
        }
        // Inside the application master, a task would not get the memory that is asked for.
        configuration.setBoolean(MRJobConfig.JOB_UBERTASK_ENABLE, false);
    }

    /** The threads of one task, unless the spec says how many. */
    static int threads(Configuration configuration) {
        if (MapReduceEngine.runsLocally(configuration)) {
            return Runtime.getRuntime().availableProcessors();
        }
        return Math.max(1, configuration.getInt(MRJobConfig.MAP_CPU_VCORES, MRJobConfig.DEFAULT_MAP_CPU_VCORES));
    }
}
