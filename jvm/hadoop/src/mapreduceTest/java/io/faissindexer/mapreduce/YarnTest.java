package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.commons.io.IOUtils;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Cluster;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.JobCounter;
import org.apache.hadoop.mapreduce.JobID;
import org.apache.hadoop.mapreduce.JobStatus;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.mapreduce.TaskAttemptID;
import org.apache.hadoop.mapreduce.TaskCompletionEvent;
import org.apache.hadoop.mapreduce.TaskCounter;
import org.apache.hadoop.mapreduce.TaskReport;
import org.apache.hadoop.mapreduce.TaskType;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.Test;

/** Tasks with JVMs of their own, and an HDFS with two DataNodes. */
public class YarnTest {
    private static final Embeddings ROWS = ReferenceBuild.ROWS;
    private static final IndexSpec SPEC = ReferenceBuild.spec();
    private static final IndexSpec SKIPPING = SPEC.toBuilder().badRows("skip").build();
    /** How long a task may say nothing, where that matters; long enough for a JVM to start on a busy machine. */
    private static final long SILENCE_MILLIS = 20_000;
    private static SmallCluster cluster;

    private final List<String> said = Collections.synchronizedList(new ArrayList<>());

    @BeforeClass
    public static void start() throws IOException {
        cluster = new SmallCluster();
    }

    @AfterClass
    public static void stop() {
        cluster.close();
    }

    private static Configuration configuration() {
        Configuration configuration = cluster.configuration();
        configuration.set(MRJobConfig.JAR, System.getProperty("faissindexer.test.jar"));
        return configuration;
    }

    private static void write(String name, int files, RowWriters writers) throws IOException {
        RowFiles rows = new RowFiles(configuration());
        rows.inDirectory(new Path("/" + name + "/in"), ROWS, files, "", writers.of(rows));
    }

    private interface RowWriters {
        RowFiles.Writer of(RowFiles rows);
    }

    private IndexReceipt build(String name, Configuration configuration) {
        return build(name, SPEC, configuration);
    }

    private IndexReceipt build(String name, IndexSpec spec, Configuration configuration) {
        List<String> inputs = Collections.singletonList("/" + name + "/in");
        return FaissIndexer.build(configuration, inputs, spec, "/" + name + "/out", said::add);
    }

    private static List<String> names(String directory) throws IOException {
        List<String> names = new ArrayList<>();
        if (!cluster.hdfs().exists(new Path(directory))) {
            return names;
        }
        for (FileStatus file : cluster.hdfs().listStatus(new Path(directory))) {
            names.add(file.getPath().getName());
        }
        Collections.sort(names);
        return names;
    }

    private static void assertFinished(String name) throws IOException {
        assertEquals(Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json"),
                names("/" + name + "/out"));
        assertNothingStaged();
    }

    private static void assertNothingStaged() throws IOException {
        String user = org.apache.hadoop.security.UserGroupInformation.getCurrentUser().getShortUserName();
        Path staging = new Path(configuration().get(MRJobConfig.MR_AM_STAGING_DIR), user + "/.staging");
        for (FileStatus file : cluster.hdfs().listStatus(staging)) {
            assertFalse(file.toString(), file.getPath().getName().startsWith("faiss-indexer"));
        }
    }

    /** The job of a stage, as its announcement names it. */
    private Job job(String stage) throws Exception {
        String announcement = said.stream().filter(line -> line.startsWith(stage + ": ") && line.contains(" in job_"))
                .reduce((first, last) -> last).orElseThrow(() -> new AssertionError(said.toString()));
        Job job = new Cluster(configuration()).getJob(
                JobID.forName(announcement.substring(announcement.lastIndexOf(' ') + 1)));
        assertTrue(job.getJobName(), job.getJobName().startsWith("faiss-indexer: " + stage + ": hdfs://"));
        return job;
    }

    private static long counter(Counters counters, String name) {
        return counters.findCounter("faiss-indexer", name).getValue();
    }

    @Test
    public void stockFaissReadsWhatTasksWroteToHdfs() throws Exception {
        write("plain", 3, rows -> rows::parquet);
        IndexReceipt receipt = build("plain", configuration());
        assertEquals(ReferenceBuild.CRC32C, receipt.crc32c());
        assertFinished("plain");
        Path local = new Path(Files.createTempDirectory("read") + "/faiss.index");
        cluster.hdfs().copyToLocalFile(new Path(receipt.index()), local);
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(new File(local.toString()).toPath(), ROWS, false);
        }
        Job encode = job("encode partitions");
        for (TaskCompletionEvent event : encode.getTaskCompletionEvents(0)) {
            String attempt = event.getTaskAttemptId().toString();
            assertFalse(attempt, attempt.startsWith("attempt_local"));
        }
        Set<String> counted = new TreeSet<>();
        encode.getCounters().getGroup("faiss-indexer").forEach(counter -> counted.add(counter.getName()));
        assertEquals("nothing bad", new TreeSet<>(Arrays.asList("bytes", "rows", "seconds")), counted);
        assertEquals(ROWS.rows(), counter(encode.getCounters(), "rows"));
        assertTrue(counter(encode.getCounters(), "bytes") >= ROWS.rows() * (8 + 8));
    }

    /** The MiB of the containers of a stage, as they were announced. */
    private long container(String stage) {
        Pattern pattern = Pattern.compile(stage + ": containers of (\\d+) MiB \\(mapreduce.map.memory.mb\\): .*");
        return said.stream().map(pattern::matcher).filter(Matcher::matches)
                .mapToLong(line -> Long.parseLong(line.group(1))).findFirst()
                .orElseThrow(() -> new AssertionError(stage + " in " + said));
    }

    @Test
    public void tasksOfEveryStageStayWithinTheContainersThatWereAskedFor() throws Exception {
        write("memory", 2, rows -> rows::parquet);
        IndexSpec withReport = SPEC.toBuilder().report(true).threads(2).build();
        build("memory", withReport, configuration());
        for (String stage : new String[] {"sample partitions", "train", "encode partitions", "merge", "evaluate"}) {
            long peak = job(stage).getCounters().findCounter(TaskCounter.MAP_PHYSICAL_MEMORY_BYTES_MAX).getValue();
            assertTrue(stage + " was measured", peak > 0);
            assertTrue(stage + ": " + peak + " in " + said, peak < container(stage) << 20);
        }
        assertTrue(said.toString(), said.stream().anyMatch(line ->
                line.matches("encode: a task takes up to \\d+ MiB outside the heap of its JVM")));
    }

    private LauncherProcess launch(String name) throws IOException {
        File directory = Files.createTempDirectory("launcher").toFile();
        SmallCluster.write(cluster.configuration(), directory);
        return new LauncherProcess(directory, Collections.singletonMap("HADOOP_CONF_DIR", directory.getPath()),
                "--input", "/" + name + "/in", "--output", "/" + name + "/out",
                "--factory-string", ReferenceBuild.FACTORY_STRING, "--report=false");
    }

    @Test
    public void theLauncherBuildsOnTheClusterOfItsConfigurationDirectory() throws Exception {
        write("avro", 2, rows -> rows::avro);
        LauncherProcess launcher = launch("avro");
        int exitCode = launcher.exitCode();
        assertEquals(launcher.stderr(), 0, exitCode);
        assertTrue(launcher.stdout(), launcher.stdout().contains("\"rows\":" + ROWS.rows()));
        assertFinished("avro");
        try (InputStream manifest = cluster.hdfs().open(new Path("/avro/out/faiss.manifest.json"))) {
            String text = IOUtils.toString(manifest, StandardCharsets.UTF_8);
            assertTrue(text, text.contains("\"" + ReferenceBuild.CRC32C + "\""));
        }
    }

    @Test
    public void ctrlCOfTheLauncherKillsTheJobAndLeavesNothing() throws Exception {
        write("interrupted", 3, rows -> rows::text);
        LauncherProcess launcher = launch("interrupted");
        launcher.awaitLine("sample partitions: 3 tasks in job_");
        launcher.interrupt();
        int exitCode = launcher.exitCode();
        assertEquals(launcher.stderr(), 130, exitCode);
        Arrays.stream(launcher.stderr().split("\n")).forEach(line -> said.add(line.replaceFirst("^[a-z-]+: ", "")));
        assertEquals(JobStatus.State.KILLED, job("sample partitions").getStatus().getState());
        assertEquals(Collections.emptyList(), names("/interrupted/out"));
        assertNothingStaged();
    }

    @Test
    public void badRowsEndTheJobAndAreNamed() throws Exception {
        write("bad", 1, rows -> rows::text);
        try (java.io.OutputStream stream = cluster.hdfs().create(new Path("/bad/in/more"))) {
            stream.write("77\t1,2,3\n".getBytes("UTF-8"));
        }
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build("bad", configuration()));
        assertTrue(failure.getMessage(), failure.getMessage().contains("(3 instead of 16) [id 77]"));
        assertFalse(cluster.hdfs().exists(new Path("/bad/out/_temporary")));
        assertNothingStaged();
    }

    @Test
    public void aLineThatMakesNoSenseIsNotTriedAgain() throws Exception {
        write("line", 1, rows -> rows::text);
        try (java.io.OutputStream stream = cluster.hdfs().create(new Path("/line/in/zzz"))) {
            stream.write("77;1,2,3\n".getBytes("UTF-8"));
        }
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build("line", configuration()));
        assertTrue(failure.getMessage(), failure.getMessage().contains("/line/in/zzz, line 1"));
        assertEquals("what a task throws is tried again and is of another kind",
                FaissIndexException.Kind.CORRUPT_FILE, failure.kind());
        assertNothingStaged();
    }

    @Test
    public void whyAMasterDoesNotStartIsSaid() throws Exception {
        write("master", 1, rows -> rows::text);
        Configuration configuration = configuration();
        configuration.set(MRJobConfig.MR_AM_COMMAND_OPTS, "-Xmx1nonsense");
        configuration.setInt(MRJobConfig.MR_AM_MAX_ATTEMPTS, 1);
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build("master", configuration));
        assertTrue(failure.getMessage(), failure.getMessage().contains("Invalid maximum heap size"));
        assertNothingStaged();
    }

    /** A configuration for rows that may do harm to the tasks that encode them. */
    private static Configuration harm(java.nio.file.Path marks) {
        Configuration configuration = configuration();
        configuration.set("tmpjars", new File(System.getProperty("faissindexer.test.testJar")).toURI().toString());
        configuration.set(HarmfulFloats.MARKS, marks.toString());
        return configuration;
    }

    /** What the embedding of a row in the order of the files begins with. */
    private static String beginning(int row) {
        return Float.toString(ROWS.vector(ROWS.order(7).get(row))[0]);
    }

    /** How the attempt ended that has left a mark, and what Hadoop said of it. */
    private static String end(Job job, java.nio.file.Path marks, String mark) throws Exception {
        String attempt = new String(Files.readAllBytes(marks.resolve(mark)), StandardCharsets.UTF_8);
        for (TaskCompletionEvent event : job.getTaskCompletionEvents(0, 1000)) {
            if (event.getTaskAttemptId().toString().equals(attempt)) {
                return event.getStatus() + " " + Arrays.toString(job.getTaskDiagnostics(event.getTaskAttemptId()));
            }
        }
        throw new AssertionError(attempt + " has not ended");
    }

    private static void assertCountedOnce(Counters counters) {
        assertEquals("attempts that lost are not counted", ROWS.rows() + 3, counter(counters, "rows"));
        assertEquals("one in each file", 3, counter(counters, "bad rows with NaN or an infinite number"));
    }

    @Test
    public void attemptsThatAreKilledOrHangWhileTheyReadAreReplacedAndOneThatWorksForLongIsNot() throws Exception {
        write("harm", 3, rows -> rows::sequenceOfHarm);
        java.nio.file.Path marks = Files.createTempDirectory("marks");
        Configuration configuration = harm(marks);
        configuration.set(HarmfulFloats.KILLS, beginning(ROWS.rows() / 6));
        configuration.set(HarmfulFloats.STALLS, beginning(ROWS.rows() / 2));
        configuration.setClass("fs.hdfs.impl", SlowHdfs.class, FileSystem.class);
        configuration.setLong(SlowHdfs.MILLIS, 2 * SILENCE_MILLIS);
        configuration.setLong(MRJobConfig.TASK_TIMEOUT, SILENCE_MILLIS);
        configuration.setLong("mapreduce.task.timeout.check-interval-ms", 1000);
        configuration.setBoolean(MRJobConfig.MAP_SPECULATIVE, false);
        assertEquals(ReferenceBuild.CRC32C, build("harm", SKIPPING, configuration).crc32c());
        assertFinished("harm");
        Job encode = job("encode partitions");
        String killed = end(encode, marks, "killed");
        assertTrue(killed, killed.startsWith("FAILED"));
        String stalled = end(encode, marks, "stalled");
        assertTrue(stalled, stalled.startsWith("FAILED") && stalled.contains("taskTimedOut: true"));
        String slowed = end(encode, marks, "slowed");
        assertTrue(slowed, slowed.startsWith("SUCCEEDED"));
        assertCountedOnce(encode.getCounters());
    }

    @Test
    public void aStragglerIsOvertakenByASecondAttempt() throws Exception {
        write("straggler", 3, rows -> rows::sequenceOfHarm);
        java.nio.file.Path marks = Files.createTempDirectory("marks");
        Configuration configuration = harm(marks);
        configuration.set(HarmfulFloats.STALLS, beginning(ROWS.rows() / 3 + 5));
        configuration.setBoolean(MRJobConfig.MAP_SPECULATIVE, true);
        assertEquals(ReferenceBuild.CRC32C, build("straggler", SKIPPING, configuration).crc32c());
        assertFinished("straggler");
        Job encode = job("encode partitions");
        String straggler = new String(Files.readAllBytes(marks.resolve("stalled")), StandardCharsets.UTF_8);
        String task = TaskAttemptID.forName(straggler).getTaskID().toString();
        List<String> winners = new ArrayList<>();
        for (TaskReport report : encode.getTaskReports(TaskType.MAP)) {
            if (report.getTaskId().equals(task)) {
                winners.add(report.getSuccessfulTaskAttemptId().toString());
            }
        }
        assertEquals(winners.toString(), 1, winners.size());
        assertNotEquals("the second attempt won", straggler, winners.get(0));
        Counters counters = encode.getCounters();
        assertTrue("attempts", counters.findCounter(JobCounter.TOTAL_LAUNCHED_MAPS).getValue() > 3);
        assertEquals("nothing failed", 0, counters.findCounter(JobCounter.NUM_FAILED_MAPS).getValue());
        assertCountedOnce(counters);
    }
}
