package io.faissindexer.hadoop.tasks;

import java.util.Locale;

/** What a job counts, as Hadoop's pages show it. */
public enum StageCounter {
    /** Rows dealt with. */
    ROWS,
    /** Rows that no index can hold: a counter for each kind, whose name goes on with what is wrong with them. */
    BAD_ROWS,
    /** Bytes written to the output's file system. */
    BYTES,
    /** Seconds that tasks were at work, added up. */
    SECONDS,
    /** Tasks that found out that the stage cannot be done. */
    FAILED_TASKS;

    /** The name of the group that all counters are in. */
    public static final String GROUP = "faiss-indexer";

    /** The name of the counter in its group. */
    public String counterName() {
        return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
}
