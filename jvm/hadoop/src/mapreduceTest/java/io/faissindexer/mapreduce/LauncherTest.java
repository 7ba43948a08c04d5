package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.IndexSpec;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The program as a user starts it, in a process of its own. */
public class LauncherTest {
    private static final Embeddings ROWS = new Embeddings(2000, 16);
    private static final String FAMILY = "IVF16,SQ8";
    private static final int ENDED_BY_SIGINT = 130;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private LauncherProcess launcher;

    private File file(String name) {
        return new File(folder.getRoot(), name);
    }

    private LauncherProcess start(String hadoopHome, String... arguments) throws IOException {
        Map<String, String> variables =
                hadoopHome == null ? Collections.emptyMap() : Collections.singletonMap("HADOOP_HOME", hadoopHome);
        launcher = new LauncherProcess(folder.getRoot(), variables, arguments);
        return launcher;
    }

    private int run(String... arguments) throws Exception {
        return start(null, arguments).exitCode();
    }

    private String[] buildArguments() throws IOException {
        new RowFiles(new Configuration()).inDirectory(
                new Path(file("rows").getPath()), ROWS, 3, ".parquet", new RowFiles(new Configuration())::parquet);
        return new String[] {"-D", "hadoop.tmp.dir=" + file("hadoop"), "--input", file("rows").getPath(),
            "--output", file("index").getPath(), "--factory_string", FAMILY, "--report=false"};
    }

    @Test
    public void theLastLineOfOutputIsTheReceipt() throws Exception {
        int exitCode = run(buildArguments());
        assertEquals(launcher.stderr(), 0, exitCode);
        String[] lines = launcher.stdout().split("\n");
        String receipt = lines[lines.length - 1];
        assertTrue(receipt, receipt.matches("\\{.*\"rows\":2000.*\\}"));
        for (String key : new String[] {"bytes", "seconds", "fingerprint", "index"}) {
            assertTrue(receipt, receipt.contains("\"" + key + "\":"));
        }
        String said = launcher.stderr();
        assertTrue(said, said.contains("faiss-indexer-mapreduce: jobs run in this process"));
        for (String stage : new String[] {"sample partitions", "train", "encode partitions", "merge"}) {
            assertTrue(said, said.contains("faiss-indexer-mapreduce: " + stage + ": done"));
        }
        IndexSpec spec = IndexSpec.builder().factoryString(FAMILY).report(false).build();
        String expected = file("expected").getPath();
        io.faissindexer.FaissIndexer.build(ROWS.partitions(1, 0), spec, expected);
        assertTrue("the bytes of the local engine", Arrays.equals(
                Files.readAllBytes(file("expected/faiss.index").toPath()),
                Files.readAllBytes(file("index/faiss.index").toPath())));
        assertTrue(file("index/_SUCCESS").exists());
    }

    @Test
    public void helpIsSaidAndNothingElseDone() throws Exception {
        assertEquals(0, run("--help"));
        assertTrue(launcher.stdout(), launcher.stdout().contains("--factory-string"));
        assertTrue(launcher.stdout(), launcher.stdout().contains("faissindexer.input.format"));
    }

    @Test
    public void anInterruptLeavesNothingAndSaysSo() throws Exception {
        start(null, buildArguments());
        launcher.awaitLine("sample partitions:");
        launcher.interrupt();
        int exitCode = launcher.exitCode();
        assertEquals(launcher.stderr(), ENDED_BY_SIGINT, exitCode);
        assertFalse("no index", file("index/faiss.index").exists());
        assertFalse("nothing of the build", file("index/_temporary").exists());
        assertTrue(launcher.stderr(), launcher.stderr().contains("the build was interrupted"));
    }

    @Test
    public void anInstalledHadoopGetsTheJarAndAllArguments() throws Exception {
        File hadoop = file("hadoop-home/bin/hadoop");
        assertTrue(hadoop.getParentFile().mkdirs());
        Files.write(hadoop.toPath(), "#!/bin/sh\nprintf '%s\\n' \"$@\"\n".getBytes(StandardCharsets.UTF_8));
        assertTrue(hadoop.setExecutable(true));
        start(file("hadoop-home").getPath(), "-D", "a=b c", "--input", "x y", "--output", "o");
        int exitCode = launcher.exitCode();
        assertEquals(launcher.stderr(), 0, exitCode);
        String[] given = launcher.stdout().split("\n");
        assertEquals("jar", given[0]);
        assertTrue(given[1], given[1].matches(".*/faiss-indexer-mapreduce-[0-9.]+\\.jar"));
        assertEquals(Arrays.asList("-D", "a=b c", "--input", "x y", "--output", "o"),
                Arrays.asList(given).subList(2, given.length));
    }

    @Test
    public void usageErrorsHaveTheirExitCodeAndOneLine() throws Exception {
        assertEquals(2, run("--inputs", "x"));
        assertTrue(launcher.stderr(), launcher.stderr().endsWith(
                "faiss-indexer-mapreduce: error: unknown flag --inputs; did you mean --input?\n"));
        assertEquals("", launcher.stdout());
        assertEquals(2, run("--input", file("missing").getPath(), "--output", file("index").getPath()));
        assertTrue(launcher.stderr(), launcher.stderr().contains("there is no " + file("missing")));
    }

    @Test
    public void aHadoopHomeWithoutHadoopIsAUsageError() throws Exception {
        assertEquals(2, start(folder.getRoot().getPath(), "--help").exitCode());
        String missing = "there is no bin/hadoop in HADOOP_HOME (" + folder.getRoot() + ")";
        assertEquals("faiss-indexer-mapreduce: error: " + missing + "\n", launcher.stderr());
    }
}
