package io.faissindexer.internal;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import java.nio.file.Path;
import java.nio.file.Paths;
import org.junit.Test;

public class PlatformTest {
    private static final Path FILE = Paths.get("/scratch/faiss-indexer-me/libfaiss_indexer.so");

    @Test
    public void platformsHaveTheNamesOfTheJarsResources() {
        assertEquals("linux-x86_64", Platform.name("Linux", "amd64"));
        assertEquals("linux-aarch64", Platform.name("Linux", "aarch64"));
        assertEquals("mac_os_x-x86_64", Platform.name("Mac OS X", "x86_64"));
    }

    @Test
    public void aProcessorWithoutAvx2IsRefusedByWhatItLacks() {
        FaissIndexException refused = assertThrows(FaissIndexException.class,
                () -> Platform.requireProcessor("processor\t: 0\nflags\t\t: fpu sse2 avx popcnt fma\n"));
        assertTrue(refused.getMessage(), refused.getMessage().contains("lacks avx2, f16c"));
    }

    @Test
    public void aProcessorWithAvx2Passes() {
        Platform.requireProcessor("flags\t\t: fpu avx avx2 fma f16c popcnt\n");
        Platform.requireProcessor();
    }

    @Test
    public void aProcessorThatSaysNothingPasses() {
        Platform.requireProcessor("Features : fp asimd\n");
    }

    @Test
    public void refusalsOfTheSystemAreExplained() {
        assertExplained("failed to map segment from shared object", "/scratch/faiss-indexer-me is mounted noexec");
        assertExplained("x.so: Operation not permitted", "-Dio.faissindexer.native.tmpdir");
        assertExplained("version `GLIBC_2.17' not found", "glibc 2.17 or later is needed");
        assertExplained("Error loading shared library libc.musl-x86_64.so.1", "glibc");
        assertExplained("file too short", "file too short");
        assertTrue(Platform.explain("symbol not found", true).contains("musl"));
    }

    private static void assertExplained(String refusal, String explanation) {
        String text = Platform.explain(FILE, refusal);
        assertTrue(text, text.contains(explanation));
    }
}
