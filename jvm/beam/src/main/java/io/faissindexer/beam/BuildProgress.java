package io.faissindexer.beam;

import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongSupplier;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.PipelineResult.State;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Says every few seconds how far a build is, as the metrics of its pipeline have it. Says nothing where a runner has
 * none before the end.
 */
final class BuildProgress {
    private static final Logger LOG = LoggerFactory.getLogger(BuildProgress.class);
    private static final long SECONDS_BETWEEN_LOOKS = 5;
    private static final long SECONDS_BETWEEN_LINES = 10;
    /** A question to the service of a runner may take longer. */
    private static final long MILLIS_TO_END = 1000;
    /** In the order in which they have their turns. */
    private static final List<String> STAGES = List.of(
            StageMetrics.COUNT, "sample", "train", "encode", "merge", "assemble", "evaluate",
            StageMetrics.PUBLISH);
    private static final MetricsFilter OURS = MetricsFilter.builder()
            .addNameFilter(MetricNameFilter.inNamespace(StageMetrics.NAMESPACE))
            .build();

    private final PipelineResult pipeline;
    private final Consumer<String> announcements;
    private final LongSupplier seconds;
    private String stage;
    private long begin;
    private long lastLine;
    private boolean isEnded;

    BuildProgress(PipelineResult pipeline, Consumer<String> announcements) {
        this(pipeline, announcements, () -> TimeUnit.NANOSECONDS.toSeconds(System.nanoTime()));
    }

    /** By a clock that may start anywhere. */
    BuildProgress(PipelineResult pipeline, Consumer<String> announcements, LongSupplier seconds) {
        this.pipeline = pipeline;
        this.announcements = announcements;
        this.seconds = seconds;
    }

    /** Waits for the end of the pipeline, of which it returns the state or throws the failure. */
    State awaitEnd() {
        Thread watch = new Thread(this::watch, "progress of the build");
        watch.setDaemon(true);
        watch.start();
        try {
            return pipeline.waitUntilFinish();
        } finally {
            end(watch);
        }
    }

    /** Says a line, if it is time for one. */
    void look() {
        Map<String, Long> counted;
        try {
            counted = counters();
        } catch (RuntimeException unknown) {
            LOG.debug("the runner has no metrics", unknown);
            return;
        }
        tell(counted);
    }

    private synchronized void tell(Map<String, Long> counted) {
        if (isEnded) {
            return;
        }
        long now = seconds.getAsLong();
        String current = STAGES.stream()
                .filter(name -> counted.containsKey(name + StageMetrics.BEGUN))
                .reduce(null, (before, next) -> next);
        if (stage != null && !stage.equals(current)) {
            // A stage of which nothing was said may have had nothing to do.
            if (rowsOf(stage, counted) > 0 || lastLine > begin) {
                announcements.accept(stage + ": done, " + timeAndRows(now, counted));
            }
        }
        if (current == null) {
            return;
        }
        if (!current.equals(stage)) {
            stage = current;
            begin = now;
            lastLine = now;
        } else if (now - lastLine >= SECONDS_BETWEEN_LINES) {
            lastLine = now;
            announcements.accept(stage + ": " + timeAndRows(now, counted));
        }
    }

    private String timeAndRows(long now, Map<String, Long> counted) {
        long elapsed = now - begin;
        long rows = rowsOf(stage, counted);
        return rows == 0
                ? elapsed + " s"
                : String.format(Locale.ROOT, "%d s, %,d rows, %,d rows/s", elapsed, rows, rows / Math.max(elapsed, 1));
    }

    private static long rowsOf(String stage, Map<String, Long> counted) {
        return counted.getOrDefault(stage + StageMetrics.ROWS, 0L);
    }

    /** What each counter of ours has come to in all steps. */
    private Map<String, Long> counters() {
        Map<String, Long> counted = new HashMap<>();
        for (MetricResult<Long> counter : pipeline.metrics().queryMetrics(OURS).getCounters()) {
            counted.merge(counter.getName().getName(), counter.getAttempted(), Long::sum);
        }
        return counted;
    }

    private void watch() {
        try {
            while (true) {
                TimeUnit.SECONDS.sleep(SECONDS_BETWEEN_LOOKS);
                look();
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    /** Nothing is said any more when this returns. */
    private void end(Thread watch) {
        synchronized (this) {
            isEnded = true;
        }
        watch.interrupt();
        try {
            watch.join(MILLIS_TO_END);
        } catch (InterruptedException impatient) {
            Thread.currentThread().interrupt();
        }
    }
}
