package io.faissindexer.mapreduce;

import java.util.concurrent.TimeUnit;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.mapreduce.TaskAttemptContext;

/** Tells Hadoop that a task is alive while native code works, which may take longer than a task may be silent. */
final class Heartbeat {
    private static final long LONGEST_SILENCE_MILLIS = TimeUnit.SECONDS.toMillis(10);
    private static final int BEATS_PER_TIMEOUT = 4;

    private final TaskAttemptContext context;
    private final Thread thread;

    Heartbeat(TaskAttemptContext context) {
        this.context = context;
        long timeout = context.getConfiguration().getLong(MRJobConfig.TASK_TIMEOUT, 0);
        long silence = timeout <= 0 ? LONGEST_SILENCE_MILLIS
                : Math.max(1, Math.min(LONGEST_SILENCE_MILLIS, timeout / BEATS_PER_TIMEOUT));
        thread = new Thread(() -> beat(silence), "faiss-indexer heartbeat of " + context.getTaskAttemptID());
        thread.setDaemon(true);
        thread.start();
    }

    private void beat(long silenceMillis) {
        try {
            while (true) {
                context.progress();
                Thread.sleep(silenceMillis);
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    void end() {
        thread.interrupt();
    }
}
