package io.faissindexer.hadoop;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapred.JobConf;
import org.junit.Test;

/** What is asked for when nobody, the site or the user has said something. */
public class TaskContainerTest {
    private static final long NATIVE_BYTES = 300L << 20;
    private static final String MEMORY = "mapreduce.map.memory.mb";
    private static final String OPTIONS = "mapreduce.map.java.opts";
    private static final String CORES = "mapreduce.map.cpu.vcores";
    private static final String LARGEST = "yarn.scheduler.maximum-allocation-mb";

    private final Configuration configuration = new JobConf();

    private void site(String key, Object value) {
        String xml = "<configuration><property><name>" + key + "</name><value>" + value
                + "</value></property></configuration>";
        configuration.addResource(
                new ByteArrayInputStream(xml.getBytes(StandardCharsets.UTF_8)), "mapred-site.xml");
    }

    private TaskContainer container(int threads) {
        return new TaskContainer(TaskKind.MAP, new Configuration(configuration), "encode", NATIVE_BYTES, threads);
    }

    private void assertAsksFor(int mebibytes, String options) {
        assertEquals(Integer.toString(mebibytes), container(0).settings().get(MEMORY));
        assertEquals(options, container(0).settings().get(OPTIONS));
    }

    private void assertSays(String... parts) {
        assertEquals(container(0).announcements().toString(), 1, container(0).announcements().size());
        for (String part : parts) {
            assertTrue(container(0).announcements().toString(), container(0).announcements().get(0).contains(part));
        }
    }

    @Test
    public void whereNobodyHasSaidAnythingHeapNativeCodeAndTheJvmAddUp() {
        assertAsksFor(1408, "-Xmx768m");
        assertSays("encode: containers of 1408 MiB (mapreduce.map.memory.mb): ",
                "768 heap (-Xmx) + 300 native code + 304 of the JVM's own");
    }

    @Test
    public void theHeapThatTheUserNamesHolds() {
        for (String heap : new String[] {"-Xmx2g", "-Xmx2048m", "-Xmx2097152K", "-Xmx1g -Xmx2147483648"}) {
            configuration.set(OPTIONS, "--add-opens=java.base/java.util=ALL-UNNAMED " + heap + " -XX:+UseG1GC");
            assertAsksFor(2816, null);
            assertSays("2048 heap (-Xmx as given) + 300 native code + 384 of");
        }
    }

    @Test
    public void otherOptionsOfTheJvmAreKept() {
        configuration.set(OPTIONS, "--add-opens=java.base/java.util=ALL-UNNAMED -Dx=-Xmx9g");
        assertAsksFor(1408, "--add-opens=java.base/java.util=ALL-UNNAMED -Dx=-Xmx9g -Xmx768m");
        configuration.unset(OPTIONS);
        configuration.set("mapred.child.java.opts", "-XX:+UseSerialGC");
        assertAsksFor(1408, "-XX:+UseSerialGC -Xmx768m");
    }

    @Test
    public void whatTheUserSaysHoldsAndIsWarnedOfWhenItIsTooSmall() {
        configuration.setInt(MEMORY, 512);
        assertAsksFor(512, "-Xmx256m");
        assertSays("warning: encode: mapreduce.map.memory.mb=512 is less than the 828 MiB");
    }

    @Test
    public void whatTheUserSaysMakesRoomForTheHeap() {
        configuration.setInt(MEMORY, 4096);
        assertAsksFor(4096, "-Xmx3331m");
        assertSays("containers of 4096 MiB (mapreduce.map.memory.mb, as given)");
    }

    @Test
    public void whatTheSiteSaysIsALowerBound() {
        site(MEMORY, 1024);
        assertAsksFor(1408, "-Xmx768m");
        site(MEMORY, 4096);
        assertAsksFor(4096, "-Xmx3331m");
        assertSays("(mapreduce.map.memory.mb, as the site says)");
    }

    @Test
    public void theUserIsHeardOverTheSite() {
        site(MEMORY, 4096);
        configuration.setInt(MEMORY, 2048);
        assertAsksFor(2048, "-Xmx1404m");
    }

    @Test
    public void theHeapShrinksToTheLargestContainerOfTheCluster() {
        site(LARGEST, 1200);
        assertAsksFor(1200, "-Xmx606m");
    }

    @Test
    public void aContainerThatTheClusterLacksIsRefusedWithBothFigures() {
        site(LARGEST, 700);
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> container(0));
        assertEquals(Kind.INVALID_SPEC, failure.kind());
        for (String part : new String[] {"encode", "828 MiB", "none above 700", LARGEST, "-D " + MEMORY}) {
            assertTrue(failure.getMessage(), failure.getMessage().contains(part));
        }
        configuration.setInt(MEMORY, 700);
        assertAsksFor(700, "-Xmx256m");
    }

    @Test
    public void coresAreAtLeastTheThreadsUnlessTheUserSaysOtherwise() {
        assertFalse(container(0).settings().containsKey(CORES));
        assertEquals("4", container(4).settings().get(CORES));
        site(CORES, 8);
        assertEquals("8", container(4).settings().get(CORES));
        configuration.setInt(CORES, 2);
        assertFalse(container(4).settings().containsKey(CORES));
        assertTrue(container(4).announcements().toString(),
                container(4).announcements().contains("warning: encode: mapreduce.map.cpu.vcores=2 asks for fewer "
                        + "cores than the 4 threads of a task"));
        assertEquals(1, container(2).announcements().size());
    }

    @Test
    public void reducersHaveSettingsOfTheirOwn() {
        TaskContainer reducer = new TaskContainer(TaskKind.REDUCE, configuration, "merge", NATIVE_BYTES, 2);
        assertEquals("{mapreduce.job.ubertask.enable=false, mapreduce.reduce.cpu.vcores=2, "
                + "mapreduce.reduce.java.opts=-Xmx768m, mapreduce.reduce.memory.mb=1408}", reducer.settings().toString());
    }

    @Test
    public void onlyTasksThatMemoryWasTooShortForGetAdvice() {
        configuration.setInt(MEMORY, 512);
        String killed = "Container [pid=1,containerID=c] is running 4096B beyond the 'PHYSICAL' memory limit.";
        assertTrue(TaskContainer.shortage(TaskKind.MAP, configuration, killed).get().contains(MEMORY + "=512"));
        configuration.set(OPTIONS, "-Xmx256m");
        String full = "Error: java.lang.OutOfMemoryError: Java heap space";
        assertTrue(TaskContainer.shortage(TaskKind.MAP, configuration, full).get().contains(OPTIONS + "=-Xmx256m"));
        assertFalse(TaskContainer.shortage(TaskKind.MAP, configuration, "Error: disk is full").isPresent());
    }
}
