package io.faissindexer.mapreduce;

import java.io.IOException;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.TaskCompletionEvent;

/** Finds out why a job failed. */
final class FailureReason {
    /** Of a job inside the process. */
    private static final String NOTHING_SAID = "NA";
    private static final String SEE_LOG = "see its log";
    private static final int EVENTS_AT_ONCE = 100;

    private FailureReason() {
    }

    /** What the last attempt that failed said; without one, what Hadoop says of the job. */
    static String of(Job job) {
        try {
            String said = saidByTasks(job);
            return said.isEmpty() ? saidOfJob(job) : said;
        } catch (IOException unknown) {
            // The server that keeps what tasks of finished jobs said may be away.
            return saidOfJob(job);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return SEE_LOG;
        }
    }

    private static String saidByTasks(Job job) throws IOException, InterruptedException {
        String reason = "";
        TaskCompletionEvent[] events = job.getTaskCompletionEvents(0, EVENTS_AT_ONCE);
        for (int from = 0; events.length > 0; events = job.getTaskCompletionEvents(from, EVENTS_AT_ONCE)) {
            for (TaskCompletionEvent event : events) {
                if (isFailure(event)) {
                    String[] said = job.getTaskDiagnostics(event.getTaskAttemptId());
                    reason = said == null || said.length == 0 ? reason : String.join("\n", said);
                }
            }
            from += events.length;
        }
        return reason;
    }

    /** Attempts that Hadoop ends because the job has failed come after the one that failed. */
    private static boolean isFailure(TaskCompletionEvent event) {
        return event.getStatus() == TaskCompletionEvent.Status.FAILED
                || event.getStatus() == TaskCompletionEvent.Status.TIPFAILED;
    }

    /** Such as why its master did not start, or that no container is large enough. */
    private static String saidOfJob(Job job) {
        try {
            String said = job.getStatus().getFailureInfo();
            return said == null || said.trim().isEmpty() || said.equals(NOTHING_SAID) ? SEE_LOG : said.trim();
        } catch (IOException unknown) {
            return SEE_LOG + " (" + unknown.getMessage() + ")";
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return SEE_LOG;
        }
    }
}
