package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * Counts the stages that are at work in this process, by their builds, so that whoever has given a build up can wait
 * for them: a runner that has been cancelled lets work go on that has begun, and what it writes after the build's files
 * were deleted would stay.
 */
final class StagesAtWork {
    private static final StagesAtWork OF_PROCESS = new StagesAtWork();

    private final Map<String, Integer> atWork = new HashMap<>();
    private final Set<String> unwanted = new HashSet<>();
    private int halts;

    private StagesAtWork() {
    }

    /** The stages of this process. */
    static StagesAtWork ofProcess() {
        return OF_PROCESS;
    }

    /** A stage begins, for which {@link #end} has to be called; refused while those of its build are halted. */
    synchronized void begin(String build) {
        if (isHalted(build)) {
            throw new FaissIndexException(Kind.CANCELLED, "the build was cancelled");
        }
        atWork.merge(build, 1, Integer::sum);
    }

    /** A stage has ended. */
    synchronized void end(String build) {
        atWork.computeIfPresent(build, (name, stages) -> stages == 1 ? null : stages - 1);
        notifyAll();
    }

    /** Does something that writes files as a stage does. */
    <T> T during(String build, Supplier<T> work) {
        begin(build);
        try {
            return work.get();
        } finally {
            end(build);
        }
    }

    /** Whether the stages of a build are to end. */
    synchronized boolean isHalted(String build) {
        return halts > 0 || unwanted.contains(build);
    }

    /** Has all stages end soon, and none begin until {@link #resume()}. */
    synchronized void halt() {
        halts++;
    }

    /** Takes a halt back. */
    synchronized void resume() {
        halts--;
    }

    /** Waits until no stage is at work. Returns false when the time is up before. */
    boolean awaitEnd(long milliseconds) throws InterruptedException {
        return await(atWork::isEmpty, milliseconds);
    }

    /**
     * Does something while no stage of a build is at work: has them end before, and none ever begin again, for a runner
     * may come to try one long after. What cannot be interrupted is not waited for beyond a time.
     */
    void without(String build, long milliseconds, Runnable work) {
        synchronized (this) {
            unwanted.add(build);
        }
        try {
            await(() -> !atWork.containsKey(build), milliseconds);
        } catch (InterruptedException impatient) {
            Thread.currentThread().interrupt();
        }
        work.run();
    }

    private synchronized boolean await(BooleanSupplier isOver, long milliseconds) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(milliseconds);
        while (!isOver.getAsBoolean()) {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            if (left <= 0) {
                return false;
            }
            wait(left);
        }
        return true;
    }
}
