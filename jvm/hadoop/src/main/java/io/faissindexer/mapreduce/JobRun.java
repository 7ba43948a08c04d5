package io.faissindexer.mapreduce;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.hadoop.TaskContainer;
import io.faissindexer.hadoop.TaskKind;
import io.faissindexer.hadoop.tasks.StageCounter;
import io.faissindexer.stages.StageOutcome;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.mapreduce.Cluster;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.mapreduce.TaskCompletionEvent;

/** One job from its submission to the outcomes of its tasks. */
final class JobRun {
    private static final long POLL_MILLIS = 500;
    /** Of a job inside the process. */
    private static final String NOTHING_SAID = "NA";
    private static final String SEE_LOG = "see its log";
    private static final long PATIENCE_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final Job job;
    private final StageFiles files;
    private final JobProgress progress;

    JobRun(Job job, StageFiles files, JobProgress progress) {
        this.job = job;
        this.files = files;
        this.progress = progress;
    }

    /**
     * Waits for the job, and ends it when the calling thread is interrupted or a task says that the stage cannot be
     * done: none of its tasks runs any more after this.
     */
    List<StageOutcome> outcomes() throws IOException, ClassNotFoundException, InterruptedException {
        job.setNumReduceTasks(0);
        boolean isSubmitted = false;
        boolean isComplete = false;
        try {
            job.submit();
            isSubmitted = true;
            progress.begun(tasks());
            while (!job.isComplete()) {
                requireNoFailure(progress.look());
                Thread.sleep(POLL_MILLIS);
            }
            isComplete = true;
        } finally {
            if (!isComplete) {
                kill(isSubmitted);
            }
        }
        if (!job.isSuccessful()) {
            String reason = reason();
            Optional<String> shortage = TaskContainer.shortage(TaskKind.MAP, job.getConfiguration(), reason);
            throw new FaissIndexException(shortage.isPresent() ? Kind.OUT_OF_MEMORY : Kind.STORAGE,
                    job.getJobID() + " failed: " + shortage.orElse(reason));
        }
        List<StageOutcome> outcomes = wholeOutcomes();
        outcomes.forEach(StageOutcome::requireDone);
        progress.done();
        return outcomes;
    }

    private int tasks() {
        return job.getConfiguration().getInt(MRJobConfig.NUM_MAPS, 0);
    }

    private List<StageOutcome> wholeOutcomes() throws IOException {
        SortedMap<Integer, StageOutcome> outcomes = files.outcomes(job.getConfiguration());
        if (outcomes.size() != tasks()) {
            throw new FaissIndexException(Kind.INTERNAL,
                    job.getJobID() + " left " + outcomes.size() + " outcomes of " + tasks() + " tasks");
        }
        return new ArrayList<>(outcomes.values());
    }

    /** A stage that cannot be done should not go on in thousands of tasks. */
    private void requireNoFailure(Optional<Counters> counters) throws IOException {
        if (counters.isPresent() && JobProgress.value(StageCounter.FAILED_TASKS, counters.get()) > 0) {
            // Not there yet if the task that failed has not been committed.
            files.outcomes(job.getConfiguration()).values().forEach(StageOutcome::requireDone);
        }
    }

    /** What the last attempt that failed said; without one, what Hadoop says of the job. */
    private String reason() throws IOException {
        try {
            String reason = "";
            int from = 0;
            while (true) {
                TaskCompletionEvent[] events = job.getTaskCompletionEvents(from, 100);
                for (TaskCompletionEvent event : events) {
                    if (event.getStatus() != TaskCompletionEvent.Status.SUCCEEDED) {
                        String[] said = job.getTaskDiagnostics(event.getTaskAttemptId());
                        reason = said == null || said.length == 0 ? reason : String.join("\n", said);
                    }
                }
                if (events.length == 0) {
                    return reason.isEmpty() ? saidOfJob() : reason;
                }
                from += events.length;
            }
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return SEE_LOG;
        }
    }

    /** Such as why its master did not start, or that no container is large enough. */
    private String saidOfJob() throws IOException, InterruptedException {
        String said = job.getStatus().getFailureInfo();
        return said == null || said.trim().isEmpty() || said.equals(NOTHING_SAID) ? SEE_LOG : said.trim();
    }

    private void kill(boolean isSubmitted) throws IOException {
        // With it, the calls that follow would end at once.
        boolean wasInterrupted = Thread.interrupted();
        try {
            Job running = isSubmitted ? job : halfSubmitted();
            if (running != null) {
                running.killJob();
                long limit = System.nanoTime() + PATIENCE_NANOS;
                while (!running.isComplete() && System.nanoTime() < limit) {
                    Thread.sleep(POLL_MILLIS);
                }
            }
        } catch (InterruptedException impatient) {
            wasInterrupted = true;
        } finally {
            if (wasInterrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** A job that the cluster has, although its submission has failed. */
    private Job halfSubmitted() throws IOException, InterruptedException {
        if (job.getJobID() == null) {
            return null;
        }
        Cluster cluster = new Cluster(job.getConfiguration());
        try {
            return cluster.getJob(job.getJobID());
        } catch (IOException unknown) {
            return null;
        }
    }
}
