package io.faissindexer;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.util.Arrays;
import org.junit.Test;

public class CommandLineTest {
    private static CommandLine parse(String... more) {
        String[] all = new String[more.length + 4];
        System.arraycopy(new String[] {"--input", "/in", "--output", "/out"}, 0, all, 0, 4);
        System.arraycopy(more, 0, all, 4, more.length);
        return CommandLine.parse(all);
    }

    @Test
    public void withoutFurtherFlagsNothingIsSetAndColumnsHaveTheirDefaultNames() {
        CommandLine line = parse();
        assertEquals(Arrays.asList("/in"), line.inputs());
        assertEquals("/out", line.output());
        assertEquals("entityId", line.idColumn());
        assertEquals("embedding", line.embeddingColumn());
        assertTrue(line.spec().values().isEmpty());
    }

    @Test
    public void everySpellingOfAFlagMeansTheSame() {
        IndexSpec expected = IndexSpec.builder().factoryString("IVF16,Flat").build();
        for (String[] spelling : new String[][] {
            {"--factory-string", "IVF16,Flat"},
            {"--factory_string", "IVF16,Flat"},
            {"--factory-string=IVF16,Flat"},
            {"--factory_string=IVF16,Flat"}}) {
            assertEquals(expected, parse(spelling).spec());
        }
    }

    @Test
    public void everySpecKeyHasAFlag() {
        for (SpecKey key : SpecKey.values()) {
            String value = key.isSwitch() ? "true" : "7";
            String[] flag = key.isSwitch()
                    ? new String[] {"--" + key.flag()}
                    : new String[] {"--" + key.flag(), value};
            assertEquals(value, parse(flag).spec().values().get(key.key()));
            assertTrue(CommandLine.help("program").contains("--" + key.flag()));
        }
    }

    @Test
    public void inputTakesSeveralValuesAndMayBeRepeated() {
        CommandLine line = CommandLine.parse("--input", "/a", "/b", "--output=/out", "--input=/c");
        assertEquals(Arrays.asList("/a", "/b", "/c"), line.inputs());
    }

    @Test
    public void aSwitchStandsAloneOrHasTrueOrFalseAfterIt() {
        assertEquals("true", parse("--overwrite", "--metric", "ip").spec().values().get("overwrite"));
        assertEquals("false", parse("--overwrite", "false").spec().values().get("overwrite"));
        assertEquals("false", parse("--overwrite=false").spec().values().get("overwrite"));
    }

    @Test
    public void helpNeedsNothingElse() {
        assertTrue(CommandLine.parse("--help").isHelp());
        assertFalse(parse().isHelp());
    }

    @Test
    public void senselessArgumentsAreRefusedByName() {
        assertRefused("unknown flag --factory-sting; did you mean --factory-string?", "--factory-sting", "Flat");
        assertRefused("unknown flag --id_colum; did you mean --id-column?", "--id_colum=id");
        assertRefused("--metric has no value", "--metric");
        assertRefused("--metric has no value", "--metric", "--overwrite");
        assertRefused("--metric has no value", "--metric=");
        assertRefused("--metric is given twice", "--metric", "l2", "--metric=ip");
        assertRefused("unexpected argument 'ip'", "--metric", "l2", "ip");
        assertRefused("unexpected argument '-m'", "-m", "l2");
    }

    @Test
    public void missingInputAndOutputAreRefusedByName() {
        assertMessage("--input is missing", () -> CommandLine.parse("--output", "/out"));
        assertMessage("--output is missing", () -> CommandLine.parse("--input", "/in"));
    }

    @Test
    public void theInputMayComeFromElsewhereWhereTheProgramSaysSo() {
        CommandLine line = CommandLine.parseWithOptionalInput("--output", "/out");
        assertTrue(line.inputs().isEmpty());
        assertMessage("--output is missing", () -> CommandLine.parseWithOptionalInput("--input", "/in"));
    }

    private static void assertRefused(String message, String... arguments) {
        assertMessage(message, () -> parse(arguments));
    }

    private static void assertMessage(String message, org.junit.function.ThrowingRunnable parsing) {
        FaissIndexException refused = assertThrows(FaissIndexException.class, parsing);
        assertEquals(FaissIndexException.Kind.INVALID_SPEC, refused.kind());
        assertEquals(2, refused.exitCode());
        assertTrue(refused.getMessage(), refused.getMessage().contains(message));
    }
}
