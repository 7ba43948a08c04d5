package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.PipelineRunner;
import org.apache.beam.sdk.metrics.MetricResults;
import org.apache.beam.sdk.options.PipelineOptions;
import org.joda.time.Duration;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What the program asks of a runner elsewhere whose pipeline does not end well. */
public class AbandonedPipelineTest {
    private static final List<String> ASKED = new ArrayList<>();
    private static Supplier<PipelineResult.State> end;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final PrintStream stderr = System.err;
    private final ByteArrayOutputStream said = new ByteArrayOutputStream();

    @Before
    public void listen() {
        ASKED.clear();
        System.setErr(new PrintStream(said, true, StandardCharsets.UTF_8));
    }

    @After
    public void restore() {
        System.setErr(stderr);
    }

    private void assertFails(String message, Supplier<PipelineResult.State> endOfPipeline) throws IOException {
        end = endOfPipeline;
        File input = folder.newFile("rows.avro");
        ReferenceRows.writeAvro(input, 0, 1);
        String output = new File(folder.getRoot(), "index").getPath();
        int exitCode = IndexBuilderApp.run("--input", input.getPath(), "--id-column", "entityId", "--output", output,
                "--runner", RunnerElsewhere.class.getName());
        assertTrue(exitCode != 0);
        String lines = said.toString(StandardCharsets.UTF_8);
        assertTrue(lines, lines.contains(message));
    }

    @Test
    public void aPipelineThatFailsIsCancelledAndItsWorkersAreWaitedFor() throws IOException {
        assertFails("the connection is lost", () -> {
            throw new IllegalStateException("the connection is lost");
        });
        assertEquals(List.of("wait", "cancel", "wait 60 s"), ASKED);
    }

    @Test
    public void aPipelineOfWhoseEndNothingIsKnownIsLeftAlone() throws IOException {
        assertFails("nothing is known of the end of the pipeline", () -> null);
        assertEquals(List.of("wait"), ASKED);
    }

    /** Runs nothing. */
    public static final class RunnerElsewhere extends PipelineRunner<PipelineResult> {
        /** As Beam makes runners. */
        public static RunnerElsewhere fromOptions(PipelineOptions options) {
            return new RunnerElsewhere();
        }

        @Override
        public PipelineResult run(Pipeline pipeline) {
            return new RunningElsewhere();
        }
    }

    private static final class RunningElsewhere implements PipelineResult {
        @Override
        public State getState() {
            return State.RUNNING;
        }

        @Override
        public State cancel() {
            ASKED.add("cancel");
            return State.RUNNING;
        }

        @Override
        public State waitUntilFinish(Duration duration) {
            ASKED.add("wait " + duration.getStandardSeconds() + " s");
            return State.CANCELLED;
        }

        @Override
        public State waitUntilFinish() {
            ASKED.add("wait");
            return end.get();
        }

        @Override
        public MetricResults metrics() {
            throw new UnsupportedOperationException("metrics");
        }
    }
}
