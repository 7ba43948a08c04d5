package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The program that has no JVM, of the file of which Beam builds its index. */
public class ProgramWithoutJvmTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void theSameFileBecomesTheIndexThatEveryEngineBuilds() throws Exception {
        File rows = new File(folder.getRoot(), "rows.parquet");
        File output = new File(folder.getRoot(), "index");
        File said = new File(folder.getRoot(), "said");
        ReferenceRows.writeParquet(rows, 0, 1);
        List<String> command = new ArrayList<>(List.of(
                System.getProperty("faissindexer.test.program"), "build", "--input", rows.getPath(),
                "--output", output.getPath()));
        ReferenceBuild.spec().values().forEach((key, value) -> {
            command.add("--" + BeamFlags.withDashes(key));
            command.add(value);
        });
        int exitCode = new ProcessBuilder(command)
                .redirectErrorStream(true).redirectOutput(said).start().waitFor();
        assertEquals(new String(Files.readAllBytes(said.toPath()), StandardCharsets.UTF_8), 0, exitCode);
        ReferenceRows.assertIndex(output);
    }
}
