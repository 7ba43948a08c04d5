package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
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
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Cluster;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.Job;
import org.apache.hadoop.mapreduce.JobCounter;
import org.apache.hadoop.mapreduce.JobID;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.mapreduce.TaskCompletionEvent;
import org.apache.hadoop.mapreduce.TaskCounter;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.Test;

/** Tasks with JVMs of their own, and an HDFS with two DataNodes. */
public class YarnTest {
    private static final Embeddings ROWS = ReferenceBuild.ROWS;
    private static final IndexSpec SPEC = ReferenceBuild.spec();
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
        assertEquals(ROWS.rows(), counter(encode.getCounters(), "rows"));
        assertTrue(counter(encode.getCounters(), "bytes") >= ROWS.rows() * (8 + 8));
        assertTrue(counter(encode.getCounters(), "seconds") >= 0);
        assertEquals(0, counter(encode.getCounters(), "failed tasks"));
    }

    /** The MiB of the containers of a stage, as they were announced. */
    private long container(String stage) {
        Pattern pattern = Pattern.compile(stage + ": containers of (\\d+) MiB \\(mapreduce.map.memory.mb\\): .*");
        return said.stream().map(pattern::matcher).filter(Matcher::matches)
                .mapToLong(line -> Long.parseLong(line.group(1))).findFirst().orElseThrow(() -> new AssertionError(stage + " in " + said));
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

    @Test
    public void aContainerThatIsTooSmallIsNamedWhenYarnEndsItsTask() throws Exception {
        write("small", 1, rows -> rows::parquet);
        Configuration configuration = configuration();
        configuration.setInt(MRJobConfig.MAP_MEMORY_MB, 128);
        configuration.setInt(MRJobConfig.MAP_MAX_ATTEMPTS, 1);
        FaissIndexException failure =
                assertThrows(FaissIndexException.class, () -> build("small", configuration));
        assertEquals(failure.getMessage(), FaissIndexException.Kind.OUT_OF_MEMORY, failure.kind());
        assertTrue(failure.getMessage(), failure.getMessage().contains("mapreduce.map.memory.mb=128; without"));
        assertTrue(said.toString(), said.stream().anyMatch(line ->
                line.startsWith("warning: sample partitions: mapreduce.map.memory.mb=128 is less than the ")));
        assertNothingStaged();
    }

    @Test
    public void otherFormatsNeedNothingOnTheNodes() throws Exception {
        write("avro", 2, rows -> rows::avro);
        assertEquals(ReferenceBuild.CRC32C, build("avro", configuration()).crc32c());
        assertFinished("avro");
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
    public void aKilledTaskAndOneThatIsSilentForLongChangeNothing() throws Exception {
        write("harm", 3, rows -> rows::sequenceOfHarm);
        java.nio.file.Path marks = Files.createTempDirectory("marks");
        Configuration configuration = configuration();
        configuration.set("tmpjars", new File(System.getProperty("faissindexer.test.testJar")).toURI().toString());
        configuration.set(HarmfulFloats.MARKS, marks.toString());
        List<Integer> order = ROWS.order(7);
        configuration.set(HarmfulFloats.KILLS, Float.toString(ROWS.vector(order.get(ROWS.rows() / 6))[0]));
        configuration.set(HarmfulFloats.STALLS, Float.toString(ROWS.vector(order.get(ROWS.rows() / 2))[0]));
        configuration.setBoolean(MRJobConfig.MAP_SPECULATIVE, true);
        configuration.setLong(MRJobConfig.TASK_TIMEOUT, HarmfulFloats.STALL_MILLIS / 2);
        configuration.setLong("mapreduce.task.timeout.check-interval-ms", 1000);
        assertEquals(ReferenceBuild.CRC32C, build("harm", configuration).crc32c());
        assertFinished("harm");
        assertTrue("a task was killed", Files.exists(marks.resolve("killed")));
        assertTrue("a task was silent", Files.exists(marks.resolve("stalled")));
        Counters counters = job("encode partitions").getCounters();
        assertEquals("failed attempts: the one that was killed", 1,
                counters.findCounter(JobCounter.NUM_FAILED_MAPS).getValue());
        assertEquals("attempts that lost are not counted", ROWS.rows(), counter(counters, "rows"));
    }
}
