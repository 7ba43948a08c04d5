package io.faissindexer.beam;

import io.faissindexer.CommandLine;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexSpec;
import io.faissindexer.SpecKey;
import io.faissindexer.Spelling;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.runners.dataflow.DataflowRunner;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO.TypedRead.Method;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.options.PipelineOptionsFactory;

/**
 * What the program is asked for, in its own flags, in those of the jobs before it or in Beam's. A flag may be spelled
 * with dashes, with underscores or in camel case.
 */
final class BuilderArguments {
    private static final String PROGRAM_NAME = "appName";
    private static final String TEMPLATE = "templateLocation";
    private static final String INPUT = "input";
    private static final String TABLE = "table";
    private static final String QUERY = "query";
    private static final String QUERY_FILE = "query-file";
    private static final String READ_METHOD = "read-method";
    private static final String GROUPED = "grouped";
    private static final String USE_GPU = "use-gpu";
    private static final List<String> OWN =
            List.of(TABLE, QUERY, QUERY_FILE, READ_METHOD, GROUPED, USE_GPU);
    private static final List<String> SWITCH_VALUES = List.of("true", "false");
    /** The column that grouped rows had in earlier jobs, whose flag had no value. */
    private static final String GROUP_COLUMN = "groupId";
    private static final String RULE_OF_DATAFLOW_JOBS = "pq48";

    /** Flags of earlier jobs and of Beam for Python, and what they are called here. */
    static final Map<String, String> OLDER_NAMES = Map.of(
            "output-location", "output",
            "output-path", "output",
            "FAISSFactoryString", "factory-string",
            "training-sample-rate", "sample-rate",
            "dataset-sql-path", QUERY_FILE,
            "service-account-email", "serviceAccount",
            "worker-harness-container-image", "sdkContainerImage",
            "machine-type", "workerMachineType");

    /** What the direct runner checks of every element costs more than the build. */
    private static final Map<String, String> BEAM_DEFAULTS = Map.of(
            PROGRAM_NAME, IndexBuilderApp.PROGRAM,
            "enforceImmutability", "false",
            "enforceEncodability", "false",
            "blockOnRun", "false");

    /** What there is beside the flags of every program. */
    static final String HELP = String.join("\n",
            "",
            "Rows come from one of --input, here of Parquet or Avro files of any of Beam's file systems, and:",
            "  --table PROJECT:DATASET.TABLE          BigQuery table",
            "  --query SQL                            BigQuery query, in standard SQL",
            "  --query-file URI                       file with such a query",
            "",
            "Flags of this program alone:",
            "  --read-method direct_read|export       how BigQuery is read; default: direct_read",
            "  --use-gpu yes|no|auto                  yes asks Dataflow for workers with a GPU; auto: no",
            "  --grouped COLUMN                       an index for each value of the column, in OUTPUT/VALUE/",
            "",
            "Without --factory-string, --family-rule is pq48. Without --dimension, it is that of most rows.",
            "Every option of Beam is a flag too, such as --runner, --region or --experiments; without --runner the",
            "build runs in this process. --temp_location, --tempLocation and --temp-location are the same flag.",
            "Also understood: " + OLDER_NAMES.keySet().stream().sorted().map(name -> "--" + name)
                    .collect(Collectors.joining(", ")) + ".",
            "");

    private final List<String> common = new ArrayList<>();
    private final Map<String, String> own = new LinkedHashMap<>();
    private final List<String> beam = new ArrayList<>();
    private final Flags flags = new Flags();
    private CommandLine line;

    private BuilderArguments() {
    }

    /**
     * Reads the arguments of the program.
     *
     * @throws FaissIndexException of kind INVALID_SPEC for arguments that make no sense
     */
    static BuilderArguments parse(String... arguments) {
        BuilderArguments read = new BuilderArguments();
        List<String> rest = new ArrayList<>(Arrays.asList(arguments));
        while (!rest.isEmpty()) {
            read.readFlag(rest);
        }
        read.line = CommandLine.parseWithOptionalInput(read.common.toArray(new String[0]));
        if (!read.line.isHelp()) {
            read.check();
        }
        return read;
    }

    /** Whether the user only wants to know what there is. */
    boolean isHelp() {
        return line.isHelp();
    }

    /** Files to read; empty where rows come from BigQuery. */
    List<String> inputs() {
        return line.inputs();
    }

    /** The table to read. */
    Optional<String> table() {
        return Optional.ofNullable(own.get(TABLE));
    }

    /** The query to read. */
    Optional<String> query() {
        return Optional.ofNullable(own.get(QUERY));
    }

    /** Where the query to read is written. */
    Optional<String> queryFile() {
        return Optional.ofNullable(own.get(QUERY_FILE));
    }

    /** How BigQuery is read. */
    Method readMethod() {
        String given = own.getOrDefault(READ_METHOD, Method.DIRECT_READ.name());
        switch (plain(given)) {
            case "direct":
            case "directread":
                return Method.DIRECT_READ;
            case "export":
                return Method.EXPORT;
            default:
                throw invalid("--" + READ_METHOD + " '" + given + "' is neither direct_read nor export");
        }
    }

    String idColumn() {
        return line.idColumn();
    }

    String embeddingColumn() {
        return line.embeddingColumn();
    }

    /** The column whose values each get an index; absent where all rows share one. */
    Optional<String> groupColumn() {
        return Optional.ofNullable(own.get(GROUPED))
                .filter(given -> !given.equals("false"))
                .map(given -> given.equals("true") ? GROUP_COLUMN : given);
    }

    /** The directory to write to. */
    String output() {
        return line.output();
    }

    /** What to build. */
    IndexSpec spec() {
        IndexSpec spec = line.spec();
        boolean isChosen = Stream.of(SpecKey.FACTORY_STRING, SpecKey.FAMILY_RULE)
                .anyMatch(key -> spec.values().containsKey(key.key()));
        return isChosen ? spec : spec.toBuilder().set(SpecKey.FAMILY_RULE, RULE_OF_DATAFLOW_JOBS).build();
    }

    /** Whether workers shall have a GPU; a build without one is the same. */
    boolean usesGpu() {
        String given = own.getOrDefault(USE_GPU, "auto");
        switch (plain(given)) {
            case "yes":
            case "true":
                return true;
            case "no":
            case "false":
            case "auto":
                return false;
            default:
                throw invalid("--" + USE_GPU + " '" + given + "' is none of yes, no and auto");
        }
    }

    /** Whether a template of a job is wanted, and no job. */
    boolean describesOnly() {
        return hasOption(TEMPLATE);
    }

    /** What goes to Beam. */
    PipelineOptions options() {
        List<String> all = new ArrayList<>(beam);
        BEAM_DEFAULTS.forEach((option, value) -> {
            if (flags.isBeams(option) && !hasOption(option)) {
                all.add("--" + option + "=" + value);
            }
        });
        // Beam does not say which option it cannot read.
        Map<String, List<String>> byOption = all.stream().collect(Collectors.groupingBy(
                given -> given.substring(0, given.indexOf('='))));
        byOption.forEach((option, given) -> {
            try {
                options(given);
            } catch (IllegalArgumentException refused) {
                throw new FaissIndexException(Kind.INVALID_SPEC, option + ": " + refused.getMessage(), refused);
            }
        });
        PipelineOptions options = options(all);
        if (describesOnly()) {
            requireThatTemplatesAreWritten(options);
        }
        return options;
    }

    private static PipelineOptions options(List<String> given) {
        return PipelineOptionsFactory.fromArgs(given.toArray(new String[0])).create();
    }

    private static void requireThatTemplatesAreWritten(PipelineOptions options) {
        if (options.getRunner() != DataflowRunner.class) {
            throw invalid("--" + TEMPLATE + " is for --runner DataflowRunner alone; "
                    + options.getRunner().getSimpleName() + " would start a build");
        }
    }

    private boolean hasOption(String option) {
        return beam.stream().anyMatch(given -> given.startsWith("--" + option + "="));
    }

    private void check() {
        List<String> sources = Stream.of(INPUT, TABLE, QUERY, QUERY_FILE)
                .filter(source -> source.equals(INPUT) ? !line.inputs().isEmpty() : own.containsKey(source))
                .map(source -> "--" + source)
                .collect(Collectors.toList());
        if (sources.isEmpty()) {
            throw invalid("one of --input, --table, --query and --query-file is missing; --help shows an example");
        }
        if (sources.size() > 1) {
            throw invalid(String.join(" and ", sources) + " exclude each other: rows come from one of them");
        }
        readMethod();
        usesGpu();
    }

    private void readFlag(List<String> rest) {
        String argument = rest.remove(0);
        if (!argument.startsWith("--")) {
            throw invalid("unexpected argument '" + argument + "': flags begin with --");
        }
        int equals = argument.indexOf('=');
        String spelled = equals < 0 ? argument.substring(2) : argument.substring(2, equals);
        Flag flag = flags.find(spelled);
        if (equals >= 0) {
            store(flag, argument.substring(equals + 1));
        } else if (flag.isSwitch) {
            boolean takesNext = hasValue(rest) && (flag.name.equals(GROUPED) || SWITCH_VALUES.contains(rest.get(0)));
            store(flag, takesNext ? rest.remove(0) : "true");
        } else {
            if (!hasValue(rest)) {
                throw invalid("--" + spelled + " has no value");
            }
            store(flag, rest.remove(0));
            while (flag.name.equals(INPUT) && hasValue(rest)) {
                store(flag, rest.remove(0));
            }
        }
    }

    private void store(Flag flag, String value) {
        switch (flag.owner) {
            case EVERY_PROGRAM:
                common.add("--" + flag.name + "=" + value);
                break;
            case BEAM:
                beam.add("--" + flag.name + "=" + value);
                break;
            default:
                if (value.isEmpty()) {
                    throw invalid("--" + flag.name + " has no value");
                }
                if (own.put(flag.name, value) != null) {
                    throw invalid("--" + flag.name + " is given twice");
                }
        }
    }

    private static boolean hasValue(List<String> rest) {
        return !rest.isEmpty() && !rest.get(0).startsWith("--");
    }

    /** A name without what its spellings differ in. */
    private static String plain(String name) {
        return name.replaceAll("[-_]", "").toLowerCase(Locale.ROOT);
    }

    private static FaissIndexException invalid(String message) {
        return new FaissIndexException(Kind.INVALID_SPEC, message);
    }

    private enum Owner { BEAM, EVERY_PROGRAM, THIS_PROGRAM }

    /** A flag as its owner spells it. */
    private static final class Flag {
        private final Owner owner;
        private final String name;
        private final boolean isSwitch;

        Flag(Owner owner, String name, boolean isSwitch) {
            this.owner = owner;
            this.name = name;
            this.isSwitch = isSwitch;
        }
    }

    /** Every flag; where two owners have one of the same name, it is the program's. */
    private static final class Flags {
        private final Map<String, Flag> byPlainName = new HashMap<>();
        private final List<String> names = new ArrayList<>();

        Flags() {
            CommandLine.flags().forEach(flag -> add(new Flag(Owner.EVERY_PROGRAM, flag, CommandLine.isSwitch(flag))));
            OWN.forEach(flag -> add(new Flag(Owner.THIS_PROGRAM, flag, flag.equals(GROUPED))));
            BeamFlags.all().forEach((option, isSwitch) -> add(new Flag(Owner.BEAM, option, isSwitch)));
            OLDER_NAMES.forEach((older, name) -> {
                Flag flag = byPlainName.get(plain(name));
                if (flag != null) {
                    byPlainName.put(plain(older), flag);
                }
            });
        }

        private void add(Flag flag) {
            if (byPlainName.putIfAbsent(plain(flag.name), flag) == null) {
                names.add(BeamFlags.withDashes(flag.name));
            }
        }

        boolean isBeams(String option) {
            Flag flag = byPlainName.get(plain(option));
            return flag != null && flag.owner == Owner.BEAM;
        }

        Flag find(String spelled) {
            Flag flag = byPlainName.get(plain(spelled));
            if (flag == null) {
                String nearest = Spelling.nearest(
                        BeamFlags.withDashes(spelled).replace('_', '-'), names);
                throw invalid("unknown flag --" + spelled + "; did you mean --" + nearest + "?");
            }
            return flag;
        }
    }
}
