package io.faissindexer.internal;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class CheckedJniTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void aJvmThatChecksEveryJniCallHasNothingToSay() throws Exception {
        File output = folder.newFile("output");
        Process child = new ProcessBuilder(
                        System.getProperty("java.home") + "/bin/java", "-Xcheck:jni", "-Xmx512m",
                        "-cp", System.getProperty("faissindexer.test.classpath"),
                        BoundaryExercise.class.getName(), folder.newFolder().getPath())
                .redirectErrorStream(true)
                .redirectOutput(output)
                .start();
        int code = child.waitFor();
        String said = new String(Files.readAllBytes(output.toPath()), StandardCharsets.UTF_8);
        assertEquals(said, 0, code);
        assertTrue(said, said.contains(BoundaryExercise.END));
        assertFalse(said, said.contains("WARNING in native method"));
        assertFalse(said, said.contains("WARNING: JNI"));
        assertFalse(said, said.contains("FATAL ERROR in native method"));
    }
}
