package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.function.Supplier;

/**
 * Counts the stages that are at work in this process, so that a program whose build has failed or is not wanted any
 * more can wait for them: a runner that has been cancelled lets work go on that has begun, and what it writes after
 * the build's files were deleted would stay.
 */
final class StagesAtWork {
    private static final StagesAtWork OF_PROCESS = new StagesAtWork();

    private int atWork;
    private int halts;

    private StagesAtWork() {
    }

    /** The stages of this process. */
    static StagesAtWork ofProcess() {
        return OF_PROCESS;
    }

    /** A stage begins, for which {@link #end()} has to be called; refused while all are halted. */
    synchronized void begin() {
        if (halts > 0) {
            throw new FaissIndexException(Kind.CANCELLED, "the build was cancelled");
        }
        atWork++;
    }

    /** A stage has ended. */
    synchronized void end() {
        atWork--;
        notifyAll();
    }

    /** Does something that writes files as a stage does. */
    <T> T during(Supplier<T> work) {
        begin();
        try {
            return work.get();
        } finally {
            end();
        }
    }

    /** Whether the stages are to end. */
    synchronized boolean isHalted() {
        return halts > 0;
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
    synchronized boolean awaitEnd(long milliseconds) throws InterruptedException {
        long end = System.nanoTime() + milliseconds * 1_000_000;
        while (atWork > 0) {
            long left = (end - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                return false;
            }
            wait(left);
        }
        return true;
    }
}
