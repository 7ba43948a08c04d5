package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import com.sun.net.httpserver.HttpServer;
import io.faissindexer.ReferenceBuild;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.zip.CRC32C;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

/** The program, from a bucket to a bucket. */
@RunWith(Parameterized.class)
public class CloudStorageTest {
    private static final Set<String> INPUT = Set.of("in/a.parquet", "in/b.avro");

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();
    @Rule
    public final Bucket bucket;

    private final String scheme;
    private LauncherProcess launcher;

    public CloudStorageTest(String scheme) {
        this.scheme = scheme;
        bucket = new Bucket(scheme);
    }

    @Parameterized.Parameters(name = "{0}")
    public static List<String> schemes() {
        return List.of(Bucket.GOOGLE, Bucket.AMAZON);
    }

    private void putRows() throws IOException {
        File parquet = new File(folder.getRoot(), "a.parquet");
        ReferenceRows.writeParquet(parquet, 0, 2);
        bucket.put("in/a.parquet", Files.readAllBytes(parquet.toPath()));
        File avro = new File(folder.getRoot(), "b.avro");
        ReferenceRows.writeAvro(avro, 1, 2);
        bucket.put("in/b.avro", Files.readAllBytes(avro.toPath()));
    }

    private static String[] arguments(List<String> options, String input, String output, List<String> more) {
        List<String> arguments = new ArrayList<>(List.of("--input", input, "--output", output));
        arguments.addAll(options);
        arguments.addAll(more);
        return arguments.toArray(new String[0]);
    }

    private String[] build(List<String> more) {
        return arguments(bucket.options(), bucket.uri("in"), bucket.uri("out/index"), more);
    }

    /** As a user starts it, for what is said and for the jars that it comes with. */
    private int launch(String[] arguments) throws Exception {
        launcher = new LauncherProcess(folder.getRoot(), arguments);
        return launcher.exitCode();
    }

    private static Set<String> with(String... published) {
        Set<String> names = new TreeSet<>(INPUT);
        for (String name : published) {
            names.add("out/index/" + name);
        }
        return names;
    }

    private void assertRefused(int exitCode, String... parts) throws IOException {
        String error = launcher.stderr();
        assertTrue(error, exitCode != 0);
        String[] lines = error.split("\n");
        String last = lines[lines.length - 1];
        assertTrue(error, last.startsWith("faiss-indexer-beam: error: "));
        for (String part : parts) {
            assertTrue(part + " in " + error, last.contains(part));
        }
        assertEquals("", launcher.stdout());
    }

    @Test
    public void rowsOfABucketBecomeTheIndexThatEveryEngineBuildsAndReplaceWhatWasThere() throws Exception {
        putRows();
        assertEquals(0, IndexBuilderApp.run(build(List.of("--factory-string=Flat"))));
        assertEquals(with("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), bucket.names());
        assertRefused(launch(build(ReferenceFlags.all())), bucket.uri("out/index"));

        List<String> replacing = new ArrayList<>(ReferenceFlags.all());
        replacing.add("--overwrite");
        int exitCode = launch(build(replacing));
        assertEquals(launcher.stderr(), 0, exitCode);
        assertEquals(with("_SUCCESS", "faiss.index", "faiss.manifest.json"), bucket.names());
        byte[] index = bucket.get("out/index/faiss.index");
        CRC32C checksum = new CRC32C();
        checksum.update(index);
        assertEquals(ReferenceBuild.CRC32C, String.format("%08x", checksum.getValue()));
        Path read = Files.write(new File(folder.getRoot(), "faiss.index").toPath(), index);
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(read, ReferenceBuild.ROWS, false);
        }
    }

    @Test
    public void aBuildThatFailsLeavesNothing() throws Exception {
        putRows();
        bucket.put("in/c.avro", bucket.get("in/b.avro"));
        assertEquals(1, IndexBuilderApp.run(build(ReferenceFlags.all())));
        Set<String> input = new TreeSet<>(INPUT);
        input.add("in/c.avro");
        assertEquals(input, bucket.names());
    }

    @Test
    public void aBucketThatIsNotThereIsNamed() throws Exception {
        putRows();
        String missing = scheme + "://missing/";
        List<String> spec = ReferenceFlags.all();
        List<String> options = bucket.options();
        assertRefused(launch(arguments(options, bucket.uri("in"), missing + "index", spec)), missing);
        assertRefused(launch(arguments(options, missing + "in", bucket.uri("out"), spec)), missing);
        assertEquals(INPUT, bucket.names());
    }

    @Test
    public void anOutputThatMayNotBeReadIsNamed() throws Exception {
        HttpServer refusing = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
        refusing.createContext("/", exchange -> {
            exchange.sendResponseHeaders(403, -1);
            exchange.close();
        });
        refusing.start();
        try {
            List<String> options = Bucket.options(scheme, "127.0.0.1:" + refusing.getAddress().getPort());
            String[] arguments =
                    arguments(options, folder.getRoot().getPath(), bucket.uri("out"), ReferenceFlags.all());
            assertRefused(launch(arguments), bucket.uri("out"), "403");
        } finally {
            refusing.stop(0);
        }
    }
}
