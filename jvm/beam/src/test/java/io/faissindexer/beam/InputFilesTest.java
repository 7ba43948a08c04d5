package io.faissindexer.beam;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

/** A directory of this machine, however it is spelled. */
@RunWith(Parameterized.class)
public class InputFilesTest {
    /** For the relative spelling, below the directory of the tests. */
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder(new File("").getAbsoluteFile());

    private final String spelling;
    private Path input;

    public InputFilesTest(String spelling) {
        this.spelling = spelling;
    }

    /** ABSOLUTE and RELATIVE stand for the directory around the input. */
    @Parameterized.Parameters(name = "{0}")
    public static List<String> spellings() {
        return List.of("ABSOLUTE/_in", "ABSOLUTE/_in/", "file:ABSOLUTE/_in", "file://ABSOLUTE/_in", "RELATIVE/_in",
                "./RELATIVE/_in", "ABSOLUTE/other/../_in", "ABSOLUTE//_in", "ABSOLUTE/_in//", "ABSOLUTE/_*");
    }

    @Before
    public void writeFiles() throws IOException {
        Files.createDirectories(folder.getRoot().toPath().resolve("other"));
        input = folder.getRoot().toPath().resolve("_in");
        for (String name : List.of("a", "b/c", "_d", ".e", "_f/g", "h/.i/j")) {
            Path file = input.resolve(name);
            Files.createDirectories(file.getParent());
            Files.writeString(file, name);
        }
    }

    @Test
    public void theFilesOfADirectoryThatAreNotHiddenAreFoundWhateverItIsItselfCalled() {
        String spelled = spelling
                .replace("ABSOLUTE", folder.getRoot().getPath()).replace("RELATIVE", folder.getRoot().getName());
        Pipeline pipeline = Pipeline.create();
        PCollection<String> found = pipeline.apply(Create.of(spelled))
                .apply(ParDo.of(new InputFilesFn()))
                .apply(MapElements.into(TypeDescriptors.strings()).via(file -> file.resourceId().toString()));
        PAssert.that(found).containsInAnyOrder(input.resolve("a").toString(), input.resolve("b/c").toString());
        pipeline.run().waitUntilFinish();
    }
}
