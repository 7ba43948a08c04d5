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

/** One job from its submission to the outcomes of its tasks. */
final class JobRun {
    private static final long POLL_MILLIS = 500;
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
        try {
            job.submit();
            isSubmitted = true;
            progress.begun(tasks());
            while (!job.isComplete()) {
                requireNoFailure(progress.look());
                Thread.sleep(POLL_MILLIS);
            }
        } catch (Throwable failure) {
            try {
                kill(isSubmitted);
            } catch (IOException | RuntimeException unreachable) {
                progress.notKilled(unreachable);
                failure.addSuppressed(unreachable);
            }
            throw failure;
        }
        if (!job.isSuccessful()) {
            String reason = FailureReason.of(job);
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

    private void kill(boolean isSubmitted) throws IOException {
        // With it, the calls that follow would end at once.
        boolean wasInterrupted = Thread.interrupted();
        try {
            if (isSubmitted) {
                end(job);
            } else if (job.getJobID() != null) {
                endHalfSubmitted();
            }
        } catch (InterruptedException impatient) {
            wasInterrupted = true;
        } finally {
            if (wasInterrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private static void end(Job running) throws IOException, InterruptedException {
        running.killJob();
        long limit = System.nanoTime() + PATIENCE_NANOS;
        while (!running.isComplete() && System.nanoTime() < limit) {
            Thread.sleep(POLL_MILLIS);
        }
    }

    /** The cluster may have the job, although its submission has failed. */
    private void endHalfSubmitted() throws IOException, InterruptedException {
        Cluster cluster = new Cluster(job.getConfiguration());
        try {
            Job found = known(cluster);
            if (found != null) {
                end(found);
            }
        } finally {
            cluster.close();
        }
    }

    private Job known(Cluster cluster) throws InterruptedException {
        try {
            return cluster.getJob(job.getJobID());
        } catch (IOException unknown) {
            return null;
        }
    }
}
