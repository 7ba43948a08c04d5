package io.faissindexer.beam;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The program as a user starts it, in a process of its own. */
public class LauncherTest {
    private static final int ENDED_BY_SIGTERM = 143;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private File rows;
    private File output;
    private LauncherProcess launcher;

    @Before
    public void writeRows() throws IOException {
        rows = folder.newFolder("rows");
        output = new File(folder.getRoot(), "index");
        for (int part = 0; part < 3; part++) {
            ReferenceRows.writeParquet(new File(rows, part + ".parquet"), part, 3);
        }
    }

    private void start(String... more) throws IOException {
        List<String> arguments =
                new ArrayList<>(List.of("--output_location", output.getPath(), "--job_name", "nightly"));
        arguments.addAll(List.of(more));
        launcher = new LauncherProcess(folder.getRoot(), arguments.toArray(new String[0]));
    }

    private int run(String... more) throws Exception {
        start(more);
        return launcher.exitCode();
    }

    /** The flags of the build that every engine's tests do. */
    private String[] referenceBuild(String... more) {
        List<String> arguments = new ArrayList<>(List.of("--input", rows.getPath()));
        arguments.addAll(ReferenceFlags.all());
        arguments.addAll(List.of(more));
        return arguments.toArray(new String[0]);
    }

    private void assertNothingIsLeft() {
        String[] left = output.list();
        assertArrayEquals(new String[0], left == null ? new String[0] : left);
    }

    private void assertEveryLineIsTheProgramsAndNoneATrace() throws IOException {
        for (String line : launcher.stderr().split("\n")) {
            assertTrue(line, line.startsWith("faiss-indexer-beam: "));
        }
    }

    @Test
    public void theLastLineOfOutputIsTheReceiptOfTheIndexThatEveryEngineBuilds() throws Exception {
        int exitCode = run(referenceBuild());
        assertEquals(launcher.stderr(), 0, exitCode);
        ReferenceRows.assertIndex(output);
        String[] lines = launcher.stdout().split("\n");
        String receipt = lines[lines.length - 1];
        for (String key : new String[] {"rows", "bytes", "seconds", "fingerprint", "index"}) {
            assertTrue(receipt, receipt.startsWith("{") && receipt.contains("\"" + key + "\":"));
        }
        assertTrue(launcher.stderr(), launcher.stderr().contains("faiss-indexer-beam: training "));
        assertEveryLineIsTheProgramsAndNoneATrace();
    }

    @Test
    public void helpIsSaidAndNothingElseDone() throws Exception {
        assertEquals(0, run("--help"));
        for (String flag : new String[] {"--factory-string", "--query-file", "--output-location", "--use-gpu"}) {
            assertTrue(launcher.stdout(), launcher.stdout().contains(flag));
        }
        assertFalse(output.exists());
    }

    @Test
    public void usageErrorsHaveTheirExitCodeAndOneLine() throws Exception {
        assertEquals(2, run("--inputs", rows.getPath()));
        assertEquals("faiss-indexer-beam: error: unknown flag --inputs; did you mean --input?\n", launcher.stderr());
        assertEquals("", launcher.stdout());
        assertFalse(output.exists());
    }

    @Test
    public void anInputThatIsNotThereIsNamedAndNothingIsLeft() throws Exception {
        String missing = new File(rows, "missing").getPath();
        assertEquals(2, run("--input", missing));
        assertEquals("faiss-indexer-beam: error: --input: there is no file " + missing + "\n", launcher.stderr());
        assertNothingIsLeft();
    }

    @Test
    public void aBuildThatFailsHasItsExitCodeAndOneLineAndLeavesNothing() throws Exception {
        ReferenceRows.writeParquet(new File(rows, "again.parquet"), 0, 3);
        assertEquals(1, run(referenceBuild()));
        assertTrue(launcher.stderr(), launcher.stderr().matches("(?s).*faiss-indexer-beam: error: [^\n]*id[^\n]*\n"));
        assertEveryLineIsTheProgramsAndNoneATrace();
        assertEquals("", launcher.stdout());
        assertNothingIsLeft();
    }

    @Test
    public void aSignalLeavesNothingAndSaysSo() throws Exception {
        start(referenceBuild());
        launcher.awaitLine("training ");
        launcher.terminate();
        int exitCode = launcher.exitCode();
        assertEquals(launcher.stderr(), ENDED_BY_SIGTERM, exitCode);
        assertTrue(launcher.stderr(), launcher.stderr().endsWith("error: the build was interrupted\n"));
        assertEveryLineIsTheProgramsAndNoneATrace();
        assertNothingIsLeft();
    }
}
