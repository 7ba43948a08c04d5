package io.faissindexer;

import io.faissindexer.FaissIndexException.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * The flags that every program of this library understands. A flag may be spelled with dashes or underscores, and its
 * value may follow after a blank or an equals sign.
 */
public final class CommandLine {
    private static final String INPUT = "input";
    private static final String ID_COLUMN = "id-column";
    private static final String EMBEDDING_COLUMN = "embedding-column";
    private static final String OUTPUT = "output";
    private static final String HELP = "help";
    private static final List<String> SWITCH_VALUES = Arrays.asList("true", "false");

    private final List<String> inputs = new ArrayList<>();
    private final Map<String, String> single = new LinkedHashMap<>();

    private CommandLine() {
    }

    /**
     * Reads the arguments of a program.
     *
     * @throws FaissIndexException of kind INVALID_SPEC for arguments that make no sense
     */
    public static CommandLine parse(String... arguments) {
        CommandLine line = parseWithOptionalInput(arguments);
        if (!line.isHelp()) {
            line.require(!line.inputs.isEmpty(), INPUT);
        }
        return line;
    }

    /**
     * Reads the arguments of a program that may have its rows from elsewhere than {@code --input}.
     *
     * @throws FaissIndexException of kind INVALID_SPEC for arguments that make no sense
     */
    public static CommandLine parseWithOptionalInput(String... arguments) {
        CommandLine line = new CommandLine();
        Arguments rest = new Arguments(arguments);
        while (rest.hasNext()) {
            line.readFlag(rest.next(), rest);
        }
        if (!line.isHelp()) {
            line.require(line.single.containsKey(OUTPUT), OUTPUT);
        }
        return line;
    }

    /** Every flag, without the dashes before it. */
    public static List<String> flags() {
        List<String> flags = new ArrayList<>(Arrays.asList(INPUT, ID_COLUMN, EMBEDDING_COLUMN, OUTPUT, HELP));
        for (SpecKey key : SpecKey.values()) {
            flags.add(key.flag());
        }
        return flags;
    }

    /** Whether a flag may stand alone, meaning {@code true}. */
    public static boolean isSwitch(String flag) {
        if (flag.equals(HELP)) {
            return true;
        }
        for (SpecKey key : SpecKey.values()) {
            if (key.flag().equals(flag)) {
                return key.isSwitch();
            }
        }
        return false;
    }

    /** Whether the user only wants to know what there is. */
    public boolean isHelp() {
        return single.containsKey(HELP);
    }

    /** What to read; at least one, where the program has its rows from nowhere else. */
    public List<String> inputs() {
        return Collections.unmodifiableList(inputs);
    }

    /** The column with the ids. */
    public String idColumn() {
        return single.getOrDefault(ID_COLUMN, InputColumns.ID);
    }

    /** The column with the embeddings. */
    public String embeddingColumn() {
        return single.getOrDefault(EMBEDDING_COLUMN, InputColumns.EMBEDDING);
    }

    /** The directory to write to. */
    public String output() {
        return single.get(OUTPUT);
    }

    /** What to build. */
    public IndexSpec spec() {
        IndexSpec.Builder spec = IndexSpec.builder();
        for (SpecKey key : SpecKey.values()) {
            String value = single.get(key.flag());
            if (value != null) {
                spec.set(key, value);
            }
        }
        return spec.build();
    }

    /** What the flags mean, with an example. */
    public static String help(String program) {
        StringBuilder text = new StringBuilder();
        text.append("Builds a Faiss index of embeddings in Parquet files.\n\n")
                .append("Example:\n  ").append(program).append(" --input hdfs:///embeddings --output hdfs:///index")
                .append(" --factory-string OPQ48,IVF1024,PQ48 --metric cosine\n\n")
                .append("Flags:\n");
        describe(text, INPUT, "URI...", "Parquet files or directories");
        describe(text, ID_COLUMN, "NAME", "column with the id, any integer; default: " + InputColumns.ID);
        describe(text, EMBEDDING_COLUMN, "NAME",
                "column with the embedding, an array or vector; default: " + InputColumns.EMBEDDING);
        describe(text, OUTPUT, "DIR", "directory for the index");
        for (SpecKey key : SpecKey.values()) {
            describe(text, key.flag(), key.isSwitch() ? "" : key.placeholder(), key.description());
        }
        describe(text, HELP, "", "say this and stop");
        text.append("\nExit code: 0 done, 1 the build failed, 2 the flags cannot be used (nothing was written).\n");
        return text.toString();
    }

    private static void describe(StringBuilder text, String flag, String placeholder, String description) {
        text.append(String.format("  %-38s %s%n", ("--" + flag + " " + placeholder).trim(), description));
    }

    private void readFlag(String argument, Arguments rest) {
        if (!argument.startsWith("--")) {
            throw invalid("unexpected argument '" + argument + "': flags begin with --");
        }
        int equals = argument.indexOf('=');
        String spelled = equals < 0 ? argument.substring(2) : argument.substring(2, equals);
        String flag = spelled.replace('_', '-');
        if (!flags().contains(flag)) {
            throw invalid("unknown flag --" + spelled + "; did you mean --" + Spelling.nearest(flag, flags()) + "?");
        }
        if (equals >= 0) {
            store(flag, argument.substring(equals + 1));
        } else if (isSwitch(flag)) {
            store(flag, rest.hasNext() && SWITCH_VALUES.contains(rest.peek()) ? rest.next() : "true");
        } else {
            readValues(flag, rest);
        }
    }

    private void readValues(String flag, Arguments rest) {
        if (!rest.hasValue()) {
            throw invalid("--" + flag + " has no value");
        }
        store(flag, rest.next());
        while (flag.equals(INPUT) && rest.hasValue()) {
            store(flag, rest.next());
        }
    }

    private void store(String flag, String value) {
        if (value.isEmpty()) {
            throw invalid("--" + flag + " has no value");
        }
        if (flag.equals(INPUT)) {
            inputs.add(value);
        } else if (single.put(flag, value) != null) {
            throw invalid("--" + flag + " is given twice");
        }
    }

    private void require(boolean isGiven, String flag) {
        if (!isGiven) {
            throw invalid("--" + flag + " is missing; --" + HELP + " shows an example");
        }
    }

    private static FaissIndexException invalid(String message) {
        return new FaissIndexException(Kind.INVALID_SPEC, message);
    }

    /** Arguments with a look at the one that comes next. */
    private static final class Arguments implements Iterator<String> {
        private final String[] arguments;
        private int at;

        Arguments(String[] arguments) {
            this.arguments = arguments;
        }

        @Override
        public boolean hasNext() {
            return at < arguments.length;
        }

        @Override
        public String next() {
            return arguments[at++];
        }

        String peek() {
            return arguments[at];
        }

        boolean hasValue() {
            return hasNext() && !peek().startsWith("--");
        }
    }
}
