package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.util.ReleaseInfo;
import org.junit.Test;

/** What can be said of images that no test can build. */
public class ImageTest {
    private static final Path DIST =
            Path.of(System.getProperty("faissindexer.test.launcher")).resolveSibling("..").normalize();

    private static List<String> instructions(String image) throws IOException {
        return Files.readAllLines(ExampleScript.EXAMPLES.resolve(image).resolve("Dockerfile")).stream()
                .filter(line -> !line.isBlank() && !line.startsWith("#"))
                .collect(Collectors.toList());
    }

    /** What each of the instructions of a kind is about. */
    private static List<String> arguments(String image, String kind) throws IOException {
        return instructions(image).stream().filter(line -> line.startsWith(kind + " "))
                .map(line -> line.substring(kind.length() + 1)).collect(Collectors.toList());
    }

    private static Set<String> files(String pattern) throws IOException {
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + pattern);
        try (Stream<Path> all = Files.walk(DIST)) {
            return all.map(DIST::relativize).filter(matcher::matches).map(Path::toString)
                    .collect(Collectors.toCollection(TreeSet::new));
        }
    }

    /** What the image that starts jobs has in a directory. */
    private static Set<String> copiedTo(String directory) throws IOException {
        Set<String> copied = new TreeSet<>();
        for (String copy : arguments("flex_template", "COPY")) {
            List<String> words = new ArrayList<>(List.of(copy.split(" ")));
            if (words.remove(words.size() - 1).equals(directory)) {
                for (String pattern : words) {
                    Set<String> files = files(pattern);
                    assertFalse(pattern, files.isEmpty());
                    copied.addAll(files);
                }
            }
        }
        return copied;
    }

    @Test
    public void everyBaseHasAVersion() throws IOException {
        for (String image : new String[] {"worker_harness", "flex_template"}) {
            for (String base : arguments(image, "FROM")) {
                assertTrue(base, base.matches("[a-z0-9./_-]+:[0-9][\\w.-]*( AS [a-z]+)?"));
            }
        }
    }

    @Test
    public void workersHaveTheSdkOfThisBeamForTheJavaOfTheLauncher() throws IOException {
        String sdk = "apache/beam_java17_sdk:" + ReleaseInfo.getReleaseInfo().getSdkVersion();
        List<String> bases = arguments("worker_harness", "FROM");
        assertEquals(sdk + " AS beam", bases.get(0));
        assertTrue(bases.toString(), bases.get(1).contains("nvidia/cuda:") && bases.get(1).contains("-runtime-"));
        assertEquals(2, bases.size());
        assertTrue(arguments("flex_template", "FROM").toString().contains("/java17-template-launcher-base:"));
    }

    @Test
    public void nothingIsInstalledForWorkersAndTheyStartAsBeamStartsThem() throws IOException {
        assertEquals(List.of(), arguments("worker_harness", "RUN"));
        assertEquals(List.of("[\"/opt/apache/beam/boot\"]"), arguments("worker_harness", "ENTRYPOINT"));
        assertTrue(arguments("worker_harness", "COPY").contains("--from=beam /opt/apache/beam /opt/apache/beam"));
    }

    @Test
    public void theTemplateHasWhatTheLauncherHasOnItsClassPath() throws IOException {
        Set<String> expected = files("beam/jars/*");
        expected.addAll(files("lib/faiss-indexer-{beam,core}-*.jar"));
        assertEquals(expected, copiedTo("/template/"));
        assertEquals(
                List.of("FLEX_TEMPLATE_JAVA_MAIN_CLASS=" + IndexBuilderApp.class.getName(),
                        "FLEX_TEMPLATE_JAVA_CLASSPATH=/template/*"),
                arguments("flex_template", "ENV"));
    }

    @Test
    public void theTemplateHasTheLicencesOfItsJars() throws IOException {
        assertEquals(
                Set.of("LICENSE", "NOTICE", "THIRD-PARTY-NOTICES.txt", "beam/THIRD-PARTY-JARS.txt"),
                copiedTo("/template/notices/"));
    }
}
