package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.CommandLine;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.SpecKey;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.Function;
import org.apache.beam.runners.dataflow.DataflowRunner;
import org.apache.beam.runners.dataflow.options.DataflowPipelineOptions;
import org.apache.beam.runners.direct.DirectOptions;
import org.apache.beam.runners.direct.DirectRunner;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO.TypedRead.Method;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;

public class BuilderArgumentsTest {
    private static final String[] WITH_TABLE = {"--table", "p:d.t"};
    private static final String[] WITH_OUTPUT = {"--output", "/out"};

    private static BuilderArguments parseWith(String[] first, String... more) {
        List<String> all = new ArrayList<>(Arrays.asList(first));
        all.addAll(Arrays.asList(more));
        return BuilderArguments.parse(all.toArray(new String[0]));
    }

    private static BuilderArguments parse(String... more) {
        return parseWith(new String[] {"--table", "p:d.t", "--output", "/out"}, more);
    }

    private static DataflowPipelineOptions dataflow(BuilderArguments given) {
        return given.options().as(DataflowPipelineOptions.class);
    }

    private static Function<BuilderArguments, Object> spec(SpecKey key) {
        return given -> given.spec().values().get(key.key());
    }

    private static Function<BuilderArguments, Object> beam(Function<DataflowPipelineOptions, Object> option) {
        return given -> option.apply(dataflow(given));
    }

    private static String camelCase(String snakeCase) {
        StringBuilder name = new StringBuilder();
        for (String word : snakeCase.split("_")) {
            name.append(name.length() == 0 ? word : Character.toUpperCase(word.charAt(0)) + word.substring(1));
        }
        return name.toString();
    }

    /** The flag with this value in each spelling, after a blank and after an equals sign. */
    private static void assertReaches(
            String[] others, String flag, String value, Object expected, Function<BuilderArguments, Object> option) {
        for (String spelling : new String[] {flag, flag.replace('_', '-'), camelCase(flag)}) {
            assertEquals(spelling, expected, option.apply(parseWith(others, "--" + spelling, value)));
            assertEquals(spelling, expected, option.apply(parseWith(others, "--" + spelling + "=" + value)));
        }
    }

    private static void assertReaches(
            String flag, String value, Object expected, Function<BuilderArguments, Object> option) {
        assertReaches(new String[] {"--table", "p:d.t", "--output", "/out"}, flag, value, expected, option);
    }

    @Test
    public void everyFlagOfTheJobInPythonReachesItsOption() {
        assertReaches("job_name", "nightly", "nightly", beam(DataflowPipelineOptions::getJobName));
        assertReaches("project", "p", "p", beam(DataflowPipelineOptions::getProject));
        assertReaches("staging_location", "gs://bucket/s", "gs://bucket/s",
                beam(DataflowPipelineOptions::getStagingLocation));
        assertReaches("temp_location", "gs://bucket/t", "gs://bucket/t",
                beam(DataflowPipelineOptions::getTempLocation));
        assertReaches("service_account_email", "a@b", "a@b", beam(DataflowPipelineOptions::getServiceAccount));
        assertReaches("factory_string", "IVF16,Flat", "IVF16,Flat", spec(SpecKey.FACTORY_STRING));
        assertReaches("metric", "linf", "linf", spec(SpecKey.METRIC));
        assertReaches("use_gpu", "yes", true, BuilderArguments::usesGpu);
        assertReaches("use_gpu", "no", false, BuilderArguments::usesGpu);
        assertReaches(WITH_TABLE, "output_location", "gs://bucket/a/c", "gs://bucket/a/c", BuilderArguments::output);
    }

    @Test
    public void everyFlagOfTheJobOnTheJvmReachesItsOption() {
        assertReaches(WITH_TABLE, "output_path", "/index", "/index", BuilderArguments::output);
        assertReaches(WITH_OUTPUT, "dataset_sql_path", "/bq.sql", Optional.of("/bq.sql"), BuilderArguments::queryFile);
        assertReaches("training_sample_rate", "0.5", "0.5", spec(SpecKey.SAMPLE_RATE));
        assertReaches("dimension", "64", "64", spec(SpecKey.DIMENSION));
        assertEquals("PQ8", spec(SpecKey.FACTORY_STRING).apply(parse("--FAISSFactoryString=PQ8")));
        assertReaches("grouped", "true", Optional.of("groupId"), BuilderArguments::groupColumn);
        assertReaches("grouped", "false", Optional.empty(), BuilderArguments::groupColumn);
        assertEquals(Optional.of("groupId"), parse("--grouped", "--metric", "ip").groupColumn());
    }

    @Test
    public void optionsOfBeamForPythonReachThoseForJava() {
        assertReaches("worker_harness_container_image", "i", "i", beam(DataflowPipelineOptions::getSdkContainerImage));
        assertReaches("sdk_container_image", "i", "i", beam(DataflowPipelineOptions::getSdkContainerImage));
        assertReaches("worker_machine_type", "n1", "n1", beam(DataflowPipelineOptions::getWorkerMachineType));
        assertReaches("machine_type", "n1", "n1", beam(DataflowPipelineOptions::getWorkerMachineType));
        assertReaches("max_num_workers", "7", 7, beam(DataflowPipelineOptions::getMaxNumWorkers));
        assertReaches("region", "europe-west1", "europe-west1", beam(DataflowPipelineOptions::getRegion));
        assertReaches("runner", "DataflowRunner", DataflowRunner.class, beam(DataflowPipelineOptions::getRunner));
    }

    @Test
    public void theFlagsOfThisProgramHaveThreeSpellingsToo() {
        assertReaches(WITH_OUTPUT, "table", "p:d.t", Optional.of("p:d.t"), BuilderArguments::table);
        assertReaches(WITH_OUTPUT, "query", "SELECT 1", Optional.of("SELECT 1"), BuilderArguments::query);
        assertReaches(WITH_OUTPUT, "query_file", "bq.sql", Optional.of("bq.sql"), BuilderArguments::queryFile);
        assertReaches("read_method", "export", Method.EXPORT, BuilderArguments::readMethod);
        assertReaches("read_method", "direct_read", Method.DIRECT_READ, BuilderArguments::readMethod);
        assertReaches("id_column", "id", "id", BuilderArguments::idColumn);
        assertReaches("use_gpu", "true", true, BuilderArguments::usesGpu);
        assertReaches("use_gpu", "auto", false, BuilderArguments::usesGpu);
        assertReaches("index_filename", "result.index", "result.index", spec(SpecKey.INDEX_FILENAME));
        assertReaches("grouped", "country", Optional.of("country"), BuilderArguments::groupColumn);
    }

    @Test
    public void noOptionOfBeamHasTheNameOfAnotherOrOfAFlagOfEveryProgram() {
        Map<String, String> byName = new TreeMap<>();
        CommandLine.flags().forEach(flag -> byName.put(flag, flag));
        BeamFlags.all().keySet().forEach(option -> {
            String other = byName.put(BeamFlags.withDashes(option), option);
            assertEquals(option, null, other);
        });
    }

    @Test
    public void experimentsMayBeRepeatedAndSwitchesStandAlone() {
        BuilderArguments given = parse("--experiments", "a", "--use_public_ips", "--experiments=b,c", "--metric", "ip");
        assertEquals(Arrays.asList("a", "b", "c"), dataflow(given).getExperiments());
        assertEquals(true, dataflow(given).getUsePublicIps());
        assertEquals(false, dataflow(parse("--use_public_ips", "false")).getUsePublicIps());
    }

    @Test
    public void withoutFurtherFlagsTheDirectRunnerDoesNotCheckEveryElement() {
        DirectOptions options = parse().options().as(DirectOptions.class);
        assertEquals(DirectRunner.class, options.getRunner());
        assertFalse(options.isEnforceImmutability());
        assertFalse(options.isEnforceEncodability());
        assertTrue(parse("--enforce_immutability").options().as(DirectOptions.class).isEnforceImmutability());
        assertEquals(Method.DIRECT_READ, parse().readMethod());
        assertFalse(parse().usesGpu());
    }

    @Test
    public void withoutAFamilyTheRuleOfDataflowJobsHolds() {
        assertEquals("pq48", spec(SpecKey.FAMILY_RULE).apply(parse()));
        assertEquals("auto", spec(SpecKey.FAMILY_RULE).apply(parse("--family-rule", "auto")));
        assertEquals(null, spec(SpecKey.FAMILY_RULE).apply(parse("--factory_string", "Flat")));
    }

    @Test
    public void filesAreASourceWithSeveralNames() {
        assertEquals(List.of("/a", "/b", "/c"), parseWith(WITH_OUTPUT, "--input", "/a", "/b", "--input=/c").inputs());
    }

    @Test
    public void rowsComeFromExactlyOneSource() {
        assertSourceRefused("one of --input, --table, --query and --query-file is missing", WITH_OUTPUT);
        assertSourceRefused("--input and --table exclude each other", WITH_OUTPUT, "--input", "/a", "--table", "p:d.t");
        assertSourceRefused("--query and --query-file exclude each other",
                WITH_OUTPUT, "--query_file", "bq.sql", "--query", "SELECT 1");
        assertSourceRefused("--output is missing", WITH_TABLE);
    }

    @Test
    public void whatMakesNoSenseIsRefusedByName() {
        assertRefused("unknown flag --stagingLocatoin; did you mean --staging-location?", "--stagingLocatoin", "x");
        assertRefused("unknown flag --factory_sting; did you mean --factory-string?", "--factory_sting=Flat");
        assertRefused("unknown flag --use-gpus; did you mean --use-gpu?", "--use-gpus=yes");
        assertRefused("--use-gpu 'maybe' is none of yes, no and auto", "--use_gpu", "maybe");
        assertRefused("--read-method 'fast' is neither direct_read nor export", "--read_method", "fast");
        assertRefused("--use_gpu has no value", "--use_gpu", "--metric", "ip");
        assertRefused("--use-gpu is given twice", "--use_gpu", "yes", "--useGpu", "no");
        assertRefused("--metric is given twice", "--metric", "l2", "--metric=ip");
        assertRefused("unexpected argument 'ip'", "--metric", "l2", "ip");
    }

    @Test
    public void optionsThatBeamCannotReadAreRefusedByName() {
        assertOptionRefused("--numWorkers: ", "--num_workers", "many");
        assertOptionRefused("--numWorkers: ", "--num_workers=1", "--numWorkers=2");
        assertOptionRefused("--runner: Unknown 'runner' specified 'X'", "--runner", "X");
    }

    @Test
    public void aTemplateIsRefusedWhereTheRunnerWouldStartABuild() {
        assertOptionRefused("--templateLocation is for --runner DataflowRunner alone", "--template_location=job.json");
        assertOptionRefused("--templateLocation is for --runner DataflowRunner alone",
                "--template_location=job.json", "--runner=DirectRunner");
        assertTrue(parse("--template_location=job.json", "--runner=DataflowRunner").describesOnly());
        assertEquals("job.json", dataflow(parse("--template_location=job.json", "--runner=DataflowRunner"))
                .getTemplateLocation());
    }

    private static void assertOptionRefused(String message, String... arguments) {
        assertMessage(message, () -> parse(arguments).options());
    }

    private static void assertRefused(String message, String... arguments) {
        assertMessage(message, () -> parse(arguments));
    }

    private static void assertSourceRefused(String message, String[] first, String... arguments) {
        assertMessage(message, () -> parseWith(first, arguments));
    }

    private static void assertMessage(String message, ThrowingRunnable parsing) {
        FaissIndexException refused = assertThrows(FaissIndexException.class, parsing);
        assertEquals(Kind.INVALID_SPEC, refused.kind());
        assertTrue(refused.getMessage(), refused.getMessage().contains(message));
    }
}
