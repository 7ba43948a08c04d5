package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** The commands of the documentation, as it has them. */
public class DocumentedCommandsTest {
    private static final Path ROOT = ExampleScript.EXAMPLES.resolve("../..").normalize();
    private static final Set<String> SHELL = Set.of("", "sh");
    private static final Pattern BLOCK = Pattern.compile("(?ms)^```(\\w*)\\n(.*?)^```$");

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final Map<String, String> settings = new HashMap<>();

    /** A directory that is like the root of the source tree. */
    @Before
    public void setUp() throws IOException {
        for (String name : new String[] {"dist", "examples"}) {
            Files.createSymbolicLink(folder.getRoot().toPath().resolve(name), ROOT.resolve(name));
        }
    }

    /** What a page has of commands of this module, in its order. */
    private static String commands(String page) throws IOException {
        Matcher blocks = BLOCK.matcher(Files.readString(ROOT.resolve(page)));
        List<String> found = new ArrayList<>();
        while (blocks.find()) {
            String commands = blocks.group(2);
            if (SHELL.contains(blocks.group(1))
                    && commands.matches("(?s).*(faiss-indexer-beam|examples/dataflow/).*")) {
                found.add(commands);
            }
        }
        assertFalse(page, found.isEmpty());
        return String.join("", found);
    }

    /** A text without what the spellings of a flag differ in. */
    private static String plain(String text) {
        return text.replaceAll("[-_]", "").toLowerCase(Locale.ROOT);
    }

    /** Has a program that writes down its arguments run in the place of Java. */
    private void recordJava() throws IOException {
        Path home = Files.createDirectories(folder.getRoot().toPath().resolve("java/bin"));
        ExampleScript.writeProgram(home.resolve("java"),
                "printf '%s\\n' \"$@\" >> '" + folder.getRoot() + "/java-arguments'; echo end >> '" + folder.getRoot()
                        + "/java-arguments'");
        settings.put("JAVA_HOME", home.getParent().toString());
    }

    /** The arguments of each start of the program. */
    private List<List<String>> recorded() throws IOException {
        List<List<String>> starts = new ArrayList<>(List.of(new ArrayList<>()));
        for (String line : Files.readAllLines(folder.getRoot().toPath().resolve("java-arguments"))) {
            if (line.equals("end")) {
                starts.add(new ArrayList<>());
            } else if (line.equals(IndexBuilderApp.class.getName())) {
                starts.get(starts.size() - 1).clear();
            } else {
                starts.get(starts.size() - 1).add(line);
            }
        }
        starts.remove(starts.size() - 1);
        return starts;
    }

    private ExampleScript run(String commands) throws Exception {
        ExampleScript script = ExampleScript.ofCommands(folder.getRoot(), settings, commands);
        int exitCode = script.run();
        assertEquals(script.stderr(), 0, exitCode);
        return script;
    }

    @Test
    public void thoseOfThePageAboutBeamBuildIndexes() throws Exception {
        File input = folder.newFolder("data", "embeddings");
        ReferenceRows.writeParquet(new File(input, "a.parquet"), 0, 1);
        run(commands("docs/beam.md"));
        assertEquals(Set.of("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"),
                Set.of(new File(folder.getRoot(), "index").list()));
        assertEquals(Set.of("ANN_INDEX_METADATA", "de", "en-GB", "fr"),
                Set.of(new File(folder.getRoot(), "indexes").list()));
    }

    @Test
    public void thoseOfThePageAboutDataflowAskForWhatTheProgramsUnderstand() throws Exception {
        recordJava();
        String commands = commands("docs/dataflow.md");
        List<String> asked = run(commands).asked();
        List<BuilderArguments> started = recorded().stream()
                .map(arguments -> BuilderArguments.parse(arguments.toArray(new String[0])))
                .collect(Collectors.toList());
        assertEquals(List.of(false, false, true, false),
                started.stream().map(BuilderArguments::describesOnly).collect(Collectors.toList()));
        assertEquals(List.of(false, false, false, true),
                started.stream().map(BuilderArguments::usesGpu).collect(Collectors.toList()));
        assertEquals(List.of(true, false, true, true),
                started.stream().map(given -> given.table().isPresent()).collect(Collectors.toList()));
        String last = asked.get(asked.size() - 1);
        assertTrue(last, last.startsWith("gcloud dataflow flex-template run "));
        String[] parameters = last.substring(last.indexOf("^|^") + 3).split("\\|");
        BuilderArguments.parse(Stream.of(parameters).map(given -> "--" + given).toArray(String[]::new));
        try (Stream<Path> examples = Files.list(ExampleScript.EXAMPLES)) {
            examples.filter(Files::isRegularFile).filter(Files::isExecutable).map(Path::getFileName).forEach(
                    script -> assertTrue(script.toString(), commands.contains("examples/dataflow/" + script)));
        }
    }

    @Test
    public void thoseOfTheReadmeAreUnderstood() throws Exception {
        recordJava();
        run(commands("README.md"));
        assertFalse(recorded().isEmpty());
        recorded().forEach(arguments -> BuilderArguments.parse(arguments.toArray(new String[0])));
    }

    @Test
    public void everyFlagOfTheJobsBeforeIsExplained() throws IOException {
        String page = plain(Files.readString(ROOT.resolve("docs/dataflow.md")));
        for (String flag : BuilderArguments.OLDER_NAMES.keySet()) {
            assertTrue(flag, page.contains("`" + plain(flag) + "`"));
        }
    }
}
