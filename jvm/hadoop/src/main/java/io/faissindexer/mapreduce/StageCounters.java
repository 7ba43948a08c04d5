package io.faissindexer.mapreduce;

import java.util.Locale;
import org.apache.hadoop.mapreduce.Counter;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/** What a job counts, as Hadoop's pages show it. */
enum StageCounters {
    /** Rows dealt with. */
    ROWS,
    /** Bytes written to the output's file system. */
    BYTES,
    /** Seconds that tasks were at work, added up. */
    SECONDS,
    /** Tasks that found out that the stage cannot be done. */
    FAILED_TASKS;

    private static final String GROUP = "faiss-indexer";

    Counter in(TaskAttemptContext context) {
        return context.getCounter(GROUP, counterName());
    }

    long in(Counters counters) {
        return counters.findCounter(GROUP, counterName()).getValue();
    }

    private String counterName() {
        return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
}
