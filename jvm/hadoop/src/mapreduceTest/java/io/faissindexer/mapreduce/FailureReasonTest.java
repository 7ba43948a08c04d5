package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;

import java.io.IOException;
import java.util.Arrays;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.JobID;
import org.apache.hadoop.mapreduce.JobPriority;
import org.apache.hadoop.mapreduce.JobStatus;
import org.apache.hadoop.mapreduce.TaskAttemptID;
import org.apache.hadoop.mapreduce.TaskCompletionEvent;
import org.apache.hadoop.mapreduce.TaskCompletionEvent.Status;
import org.apache.hadoop.mapreduce.TaskID;
import org.apache.hadoop.mapreduce.TaskType;
import org.junit.Test;

public class FailureReasonTest {
    private static final JobID FAILED_JOB = new JobID("failed", 1);

    /** A job of which a cluster says so much. */
    private static final class EndedJob extends Job {
        private final String saidOfJob;
        private final boolean isHistoryAway;
        private final Status[] attempts;

        @SuppressWarnings("deprecation")
        EndedJob(String saidOfJob, boolean isHistoryAway, Status... attempts) throws IOException {
            super(new Configuration(false));
            this.saidOfJob = saidOfJob;
            this.isHistoryAway = isHistoryAway;
            this.attempts = attempts;
        }

        @Override
        public TaskCompletionEvent[] getTaskCompletionEvents(int from, int count) throws IOException {
            if (isHistoryAway) {
                throw new IOException("connection refused");
            }
            TaskCompletionEvent[] events = new TaskCompletionEvent[attempts.length];
            Arrays.setAll(events, number -> {
                TaskAttemptID attempt = new TaskAttemptID(new TaskID(FAILED_JOB, TaskType.MAP, number), 0);
                return new TaskCompletionEvent(number, attempt, number, true, attempts[number], "");
            });
            // One at a time, as many tasks come in many answers.
            return Arrays.copyOfRange(events, from, Math.min(from + 1, events.length));
        }

        @Override
        public String[] getTaskDiagnostics(TaskAttemptID attempt) {
            int number = attempt.getTaskID().getId();
            return new String[] {attempts[number] + " " + number};
        }

        @Override
        public JobStatus getStatus() throws IOException {
            if (saidOfJob == null) {
                throw new IOException("no route to host");
            }
            return new JobStatus(
                    FAILED_JOB, 1, 1, 1, 1, JobStatus.State.FAILED, JobPriority.NORMAL, "user", "name", "file", "url") {
                @Override
                public String getFailureInfo() {
                    return saidOfJob;
                }
            };
        }
    }

    @Test
    public void attemptsThatWereEndedAfterTheFailureDoNotHideIt() throws IOException {
        Job job = new EndedJob("NA", false, Status.SUCCEEDED, Status.FAILED, Status.TIPFAILED, Status.KILLED,
                Status.OBSOLETE, Status.SUCCEEDED);
        assertEquals("TIPFAILED 2", FailureReason.of(job));
    }

    @Test
    public void withoutAnAttemptThatFailedTheJobIsAsked() throws IOException {
        assertEquals("no queue", FailureReason.of(new EndedJob(" no queue\n", false, Status.KILLED)));
        assertEquals("see its log", FailureReason.of(new EndedJob("NA", false)));
    }

    @Test
    public void withoutTheHistoryTheJobIsAsked() throws IOException {
        assertEquals("no queue", FailureReason.of(new EndedJob("no queue", true)));
        assertEquals("see its log (no route to host)", FailureReason.of(new EndedJob(null, true)));
    }
}
