package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.faissindexer.CommandLine;
import io.faissindexer.FaissIndexException;
import java.io.IOException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.Before;
import org.junit.Test;

/** Parameters of the Flex Template, which reach the program as {@code --name=value}. */
public class FlexTemplateTest {
    private static final Set<String> SOURCES = Set.of("table", "query", "queryFile", "input");
    private static final String EXAMPLE = " Example: ";
    private static final Pattern DEFAULT = Pattern.compile("--([a-z-]+) .*; default: (\\S+)\\n");

    private final Map<String, JsonNode> parameters = new LinkedHashMap<>();

    @Before
    public void readMetadata() throws IOException {
        JsonNode metadata = new ObjectMapper().readTree(
                ExampleScript.EXAMPLES.resolve("flex_template").resolve("metadata.json").toFile());
        assertFalse(metadata.get("name").asText().isEmpty());
        for (JsonNode parameter : metadata.get("parameters")) {
            assertEquals(null, parameters.put(parameter.get("name").asText(), parameter));
        }
    }

    private String example(String name) {
        String help = parameters.get(name).get("helpText").asText();
        assertTrue(help, help.contains(EXAMPLE));
        return help.substring(help.indexOf(EXAMPLE) + EXAMPLE.length());
    }

    private boolean isRequired(String name) {
        return !parameters.get(name).path("isOptional").asBoolean();
    }

    private void assertAccepts(String name, String value) {
        for (JsonNode regex : parameters.get(name).get("regexes")) {
            assertTrue(name + "=" + value, Pattern.matches(regex.asText(), value));
        }
    }

    /** The arguments of a job with all required parameters, a source and one more. */
    private String[] job(String more) {
        Map<String, String> given = new LinkedHashMap<>();
        parameters.keySet().stream().filter(this::isRequired).forEach(name -> given.put(name, example(name)));
        if (!SOURCES.contains(more)) {
            given.put("table", example("table"));
        }
        given.put(more, example(more));
        return given.entrySet().stream().map(one -> "--" + one.getKey() + "=" + one.getValue()).toArray(String[]::new);
    }

    @Test
    public void everyParameterIsAFlagThatTakesItsExample() {
        for (String name : parameters.keySet()) {
            BuilderArguments given = BuilderArguments.parse(job(name));
            given.spec();
            given.options();
            assertEquals(example("output"), given.output());
        }
    }

    @Test
    public void whatIsRequiredIsWhatTheProgramCannotDoWithout() {
        for (String name : parameters.keySet()) {
            String[] without = Stream.of(job("table"))
                    .filter(argument -> !argument.startsWith("--" + name + "=")).toArray(String[]::new);
            if (isRequired(name)) {
                FaissIndexException refused =
                        assertThrows(name, FaissIndexException.class, () -> BuilderArguments.parse(without));
                assertTrue(refused.getMessage(), refused.getMessage().contains("--" + name + " is missing"));
            } else if (!SOURCES.contains(name)) {
                BuilderArguments.parse(without);
            }
        }
        assertTrue(isRequired("output"));
    }

    @Test
    public void regexesAcceptTheExamplesAndTheDefaultsAndRefuseWhatIsEmpty() {
        Matcher defaults = DEFAULT.matcher(CommandLine.help("program") + BuilderArguments.HELP);
        long found = 0;
        while (defaults.find()) {
            String flag = defaults.group(1);
            String value = defaults.group(2);
            found += parameters.keySet().stream().filter(name -> BeamFlags.withDashes(name).equals(flag))
                    .peek(name -> assertAccepts(name, value)).count();
        }
        assertTrue("defaults: " + found, found > 5);
        for (String name : parameters.keySet()) {
            assertAccepts(name, example(name));
            for (JsonNode regex : parameters.get(name).get("regexes")) {
                assertFalse(name, Pattern.matches(regex.asText(), ""));
            }
        }
    }
}
