package io.faissindexer.stages;

import io.faissindexer.storage.FileSystemHook;
import java.util.List;
import java.util.OptionalInt;

/** Runs functions over the partitions of an input, and knows nothing else about indexes. */
public interface Engine {
    /** What the user calls the input. */
    String input();

    /** The components of the first embedding that is found; empty when there is none. */
    OptionalInt firstDimension();

    /**
     * Runs a stage over every partition of the input.
     *
     * @param name of the stage, for a person who watches
     * @return one outcome per partition
     */
    List<StageOutcome> onEveryPartition(String name, PartitionStage stage);

    /**
     * Runs a stage that takes no rows, in tasks of the engine's own, not in the process that drives the build.
     *
     * @param tasks how many, numbered from 0
     * @return one outcome per task
     */
    List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage);

    /** The CPUs that a task gets, as {@link StageControl#threads()} will say there. */
    default int threadsOfTask() {
        return 1;
    }

    /** Makes the hooks through which the driver and the tasks reach files. */
    FileSystemHook.Factory files();
}
