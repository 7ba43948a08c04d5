package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.storage.FileSystemHook;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/** Runs every stage in the calling thread, one partition after another. */
public final class LocalEngine implements Engine {
    private final List<RowSource> partitions;

    /** An engine over partitions that can be read more than once. */
    public LocalEngine(List<? extends RowSource> partitions) {
        this.partitions = new ArrayList<>(partitions);
    }

    @Override
    public String input() {
        return partitions.size() + " partitions of rows";
    }

    @Override
    public OptionalInt firstDimension() {
        for (RowSource partition : partitions) {
            try {
                OptionalInt found = FirstDimension.of(partition);
                if (found.isPresent()) {
                    return found;
                }
            } catch (Exception failure) {
                throw unreadable(failure);
            }
        }
        return OptionalInt.empty();
    }

    @Override
    public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
        return oneAfterAnother(partitions.size(),
                partition -> stage.run(partition, partitions.get(partition), new CallersControl()));
    }

    @Override
    public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
        return oneAfterAnother(tasks, task -> stage.run(task, new CallersControl()));
    }

    private interface Task {
        StageOutcome run(int number) throws Exception;
    }

    private static List<StageOutcome> oneAfterAnother(int tasks, Task task) {
        List<StageOutcome> outcomes = new ArrayList<>();
        for (int number = 0; number < tasks; number++) {
            try {
                outcomes.add(task.run(number));
            } catch (Exception failure) {
                throw unreadable(failure);
            }
        }
        return outcomes;
    }

    @Override
    public int threadsOfTask() {
        return Runtime.getRuntime().availableProcessors();
    }

    @Override
    public FileSystemHook.Factory files() {
        return NativeBackends.ONLY;
    }

    private static RuntimeException unreadable(Exception failure) {
        if (failure instanceof RuntimeException) {
            return (RuntimeException) failure;
        }
        return new FaissIndexException(
                FaissIndexException.Kind.STORAGE, "the rows cannot be read: " + failure, failure);
    }

    private enum NativeBackends implements FileSystemHook.Factory {
        ONLY;

        @Override
        public FileSystemHook open() {
            return null;
        }
    }

    /** Ends the work when the thread that called is interrupted. */
    private static final class CallersControl implements StageControl {
        private final Thread caller = Thread.currentThread();

        @Override
        public int threads() {
            return Runtime.getRuntime().availableProcessors();
        }

        @Override
        public boolean isCancelled() {
            return caller.isInterrupted();
        }

        @Override
        public void onProgress(long moreRows, long moreBytes) {
        }
    }
}
