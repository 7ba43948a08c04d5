package io.faissindexer.stages;

/** What an engine gives to a stage that runs in one of its tasks. Also called by a thread of the stage's own. */
public interface StageControl {
    /** The CPUs that the engine has set aside for the task. */
    int threads();

    /** Whether the work is not wanted any more. */
    boolean isCancelled();

    /** More rows and bytes have been dealt with. Calls come one after another. */
    void onProgress(long moreRows, long moreBytes);

    /**
     * Native code is at work, which may take longer than an engine waits for a sign of life. Called several times a
     * second while that is so, and never while the task waits for its rows.
     */
    default void onWork() {
    }
}
