package io.faissindexer.mapreduce;

import io.faissindexer.hadoop.tasks.StageCounter;
import java.io.IOException;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.apache.hadoop.mapreduce.Counter;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.Job;

/** Says every few seconds how far a job is. */
final class JobProgress {
    private static final long SECONDS_BETWEEN_LINES = 5;
    private static final int PER_CENT = 100;

    private final String name;
    private final Job job;
    private final long expectedRows;
    private final Consumer<String> announcements;
    private final long begin = System.nanoTime();
    private long lastLine = begin;
    private long rows;

    JobProgress(String name, Job job, long expectedRows, Consumer<String> announcements) {
        this.name = name;
        this.job = job;
        this.expectedRows = expectedRows;
        this.announcements = announcements;
    }

    /** Rows that the job has dealt with. */
    long rows() {
        return rows;
    }

    void begun(int tasks) {
        announcements.accept(name + ": " + tasks + (tasks == 1 ? " task" : " tasks") + " in " + job.getJobID());
    }

    /** Looks at the counters of the job when it is time, which costs the application master a walk over all tasks. */
    Optional<Counters> look() throws IOException {
        if (System.nanoTime() - lastLine < TimeUnit.SECONDS.toNanos(SECONDS_BETWEEN_LINES)) {
            return Optional.empty();
        }
        lastLine = System.nanoTime();
        Optional<Counters> counters = counters();
        float share = expectedRows > 0 ? (float) rows / expectedRows : job.mapProgress();
        announcements.accept(
                name + ": " + Math.round(Math.min(1, share) * PER_CENT) + " %" + timeAndRows() + timeLeft(share));
        return counters;
    }

    void notKilled(Exception failure) {
        announcements.accept(name + ": " + job.getJobID() + " may still run, as it cannot be killed: "
                + failure.getMessage());
    }

    void done() {
        String badRows = counters().map(JobProgress::badRows).orElse("");
        announcements.accept(name + ": done" + timeAndRows() + badRows);
    }

    /** Empty where they are not kept: outcomes do without. */
    private Optional<Counters> counters() {
        try {
            Optional<Counters> counters = Optional.ofNullable(job.getCounters());
            counters.ifPresent(found -> rows = value(StageCounter.ROWS, found));
            return counters;
        } catch (IOException notKept) {
            return Optional.empty();
        }
    }

    static long value(StageCounter counter, Counters counters) {
        return counters.findCounter(StageCounter.GROUP, counter.counterName()).getValue();
    }

    /** Each kind of bad rows that the job has counted, and how many. */
    private static String badRows(Counters counters) {
        StringBuilder found = new StringBuilder();
        for (Counter counter : counters.getGroup(StageCounter.GROUP)) {
            if (counter.getName().startsWith(StageCounter.BAD_ROWS.counterName())) {
                found.append(String.format(Locale.ROOT, ", %s: %,d", counter.getName(), counter.getValue()));
            }
        }
        return found.toString();
    }

    private String timeAndRows() {
        long elapsed = elapsed();
        String time = ", " + elapsed + " s";
        return rows == 0 ? time
                : time + String.format(Locale.ROOT, ", %,d rows, %,d rows/s", rows, rows / Math.max(elapsed, 1));
    }

    private String timeLeft(float share) {
        return share > 0 && share < 1
                ? String.format(Locale.ROOT, ", about %.0f s left", elapsed() * (1 - share) / share) : "";
    }

    private long elapsed() {
        return TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin);
    }
}
