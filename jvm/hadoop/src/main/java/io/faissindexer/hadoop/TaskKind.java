package io.faissindexer.hadoop;

import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.MRJobConfig;

/** The tasks of a job that YARN makes containers for, by the names of their settings. */
public enum TaskKind {
    /** Tasks that read the input of the job. */
    MAP(MRJobConfig.MAP_MEMORY_MB, MRJobConfig.MAP_JAVA_OPTS, MRJobConfig.MAP_CPU_VCORES),
    /** Tasks behind a shuffle. */
    REDUCE(MRJobConfig.REDUCE_MEMORY_MB, MRJobConfig.REDUCE_JAVA_OPTS, MRJobConfig.REDUCE_CPU_VCORES);

    private final String memory;
    private final String javaOptions;
    private final String cores;

    TaskKind(String memory, String javaOptions, String cores) {
        this.memory = memory;
        this.javaOptions = javaOptions;
        this.cores = cores;
    }

    /** The cores that a configuration gives to a task, at least one. */
    public int coresIn(Configuration configuration) {
        return Math.max(1, configuration.getInt(cores, 1));
    }

    /** The setting of the container's memory, in MiB. */
    String memory() {
        return memory;
    }

    /** The setting of the options of the JVM. */
    String javaOptions() {
        return javaOptions;
    }

    /** The setting of the container's cores. */
    String cores() {
        return cores;
    }
}
