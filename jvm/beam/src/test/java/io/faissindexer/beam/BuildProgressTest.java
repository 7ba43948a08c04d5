package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.MetricKey;
import org.apache.beam.sdk.metrics.MetricName;
import org.apache.beam.sdk.metrics.MetricQueryResults;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricResults;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.joda.time.Duration;
import org.junit.Test;

public class BuildProgressTest {
    private final List<String> said = new ArrayList<>();
    private final FakePipeline pipeline = new FakePipeline();
    private long second = 1_000;
    private final BuildProgress progress = new BuildProgress(pipeline, said::add, () -> second);

    private void lookAfter(int seconds) {
        second += seconds;
        progress.look();
    }

    private void assertSaid(String... lines) {
        assertEquals(List.of(lines), said);
    }

    @Test
    public void aLineEveryTenSecondsHasTheRowsOfTheStageInAllSteps() {
        pipeline.count("build/sample stage", "sample begun", 1);
        lookAfter(0);
        pipeline.count("build/sample", "sample rows", 1_500_000);
        lookAfter(5);
        assertSaid();
        pipeline.count("build/sample again", "sample rows", 500_000);
        lookAfter(5);
        lookAfter(5);
        assertSaid("sample: 10 s, 2,000,000 rows, 200,000 rows/s");
        lookAfter(5);
        assertSaid("sample: 10 s, 2,000,000 rows, 200,000 rows/s", "sample: 20 s, 2,000,000 rows, 100,000 rows/s");
    }

    @Test
    public void aStageIsDoneWhenTheNextHasItsTurn() {
        pipeline.count("build/encode stage", "encode begun", 1);
        lookAfter(0);
        pipeline.count("build/encode", "encode rows", 4_000);
        pipeline.count("build/merge stage", "merge begun", 1);
        lookAfter(4);
        assertSaid("encode: done, 4 s, 4,000 rows, 1,000 rows/s");
    }

    @Test
    public void aStageWithoutRowsHasItsTime() {
        pipeline.count("build/train stage", "train begun", 1);
        lookAfter(0);
        lookAfter(12);
        pipeline.count("build/encode stage", "encode begun", 1);
        lookAfter(3);
        assertSaid("train: 12 s", "train: done, 15 s");
    }

    @Test
    public void nothingIsSaidOfAStageThatHadNothingToDo() {
        pipeline.count("build/assemble stage", "assemble begun", 1);
        lookAfter(0);
        pipeline.count("build/evaluate stage", "evaluate begun", 1);
        lookAfter(5);
        assertSaid();
    }

    @Test
    public void nothingIsSaidBeforeAStageHasItsTurnNorWhereThereAreNoMetrics() {
        lookAfter(60);
        pipeline.hasMetrics = false;
        lookAfter(60);
        assertSaid();
    }

    @Test
    public void nothingIsSaidAfterTheEnd() {
        pipeline.count("build/train stage", "train begun", 1);
        lookAfter(0);
        assertEquals(PipelineResult.State.DONE, progress.awaitEnd());
        lookAfter(60);
        assertSaid();
    }

    /** A pipeline that is at its end, and the counters that the test says. */
    private static final class FakePipeline extends MetricResults implements PipelineResult {
        private final Map<String, MetricResult<Long>> counters = new TreeMap<>();
        private boolean hasMetrics = true;

        void count(String step, String name, long value) {
            MetricName metric = MetricName.named("faiss-indexer", name);
            counters.put(step + name, MetricResult.attempted(MetricKey.create(step, metric), value));
        }

        @Override
        public MetricQueryResults queryMetrics(MetricsFilter filter) {
            return MetricQueryResults.create(
                    counters.values().stream().collect(Collectors.toList()), List.of(), List.of(), List.of());
        }

        @Override
        public MetricResults metrics() {
            if (!hasMetrics) {
                throw new UnsupportedOperationException("no metrics");
            }
            return this;
        }

        @Override
        public State getState() {
            return State.DONE;
        }

        @Override
        public State cancel() {
            return State.DONE;
        }

        @Override
        public State waitUntilFinish(Duration duration) {
            return State.DONE;
        }

        @Override
        public State waitUntilFinish() {
            return State.DONE;
        }
    }
}
