package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.StreamSupport;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.extensions.gcp.storage.NoopPathValidator;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What the launch scripts would have Dataflow do. */
public class LaunchScriptTest {
    private static final Path DIST =
            Path.of(System.getProperty("faissindexer.test.launcher")).resolveSibling("..").normalize();

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final Map<String, String> settings = new HashMap<>(Map.of(
            "PROJECT", "project", "REGION", "europe-west1", "BUCKET", "bucket", "SERVICE_ACCOUNT", "builder@project",
            "TABLE", "project:dataset.embeddings", "WORKER_IMAGE", "registry/images/beam-cuda"));
    private BigQueryServer bigQuery;

    @Before
    public void setUp() throws IOException {
        bigQuery = new BigQueryServer();
        settings.put("OUTPUT", new File(folder.getRoot(), "index").getPath());
    }

    @After
    public void tearDown() {
        bigQuery.close();
    }

    private JsonNode description(String script, String... flags) throws Exception {
        List<String> arguments = new ArrayList<>(List.of("--metric", "ip", "--dry-run", "job.json",
                // In the place of what a dry run asks the cloud.
                "--big_query_endpoint=" + bigQuery.address(),
                "--gcp_temp_location=gs://bucket/temp",
                "--path_validator_class=" + NoopPathValidator.class.getName(),
                "--credential_factory_class=" + NoopCredentialFactory.class.getName()));
        arguments.addAll(List.of(flags));
        ExampleScript launch =
                ExampleScript.of(folder.getRoot(), settings, script, arguments.toArray(new String[0]));
        int exitCode = launch.run();
        assertEquals(launch.stderr(), 0, exitCode);
        assertTrue(launch.stderr(), launch.stderr().endsWith("the job is described, and was not started\n"));
        return new ObjectMapper().readTree(new File(folder.getRoot(), "job.json"));
    }

    private static JsonNode pool(JsonNode job) {
        return job.get("environment").get("workerPools").get(0);
    }

    private static JsonNode option(JsonNode job, String name) {
        return job.get("environment").get("sdkPipelineOptions").get("options").get(name);
    }

    /** The jars of the class path that the launcher puts together, each with the hash that staging adds. */
    private static void assertEveryJarIsStaged(JsonNode pool) {
        Set<String> missing = new TreeSet<>(Set.of(DIST.resolve("beam/jars").toFile().list()));
        for (String jar : DIST.resolve("lib").toFile().list((directory, name) -> name.matches(".*-(beam|core)-.*"))) {
            missing.add(jar);
        }
        assertTrue(missing.toString(), missing.size() > 2);
        StreamSupport.stream(pool.get("packages").spliterator(), false).forEach(file -> {
            String location = file.get("location").asText();
            assertTrue(location, location.startsWith("storage.googleapis.com/bucket/staging/"));
            missing.removeIf(jar -> file.get("name").asText().startsWith(jar.replace(".jar", "-")));
        });
        assertEquals(Set.of(), missing);
    }

    @Test
    public void aJobOnCpusHasTheSettingsAndEveryJarAndNoAccelerator() throws Exception {
        JsonNode job = description("launch-cpu", "--max_num_workers", "7");
        assertEquals("faiss-indexer", job.get("name").asText());
        JsonNode environment = job.get("environment");
        assertEquals("builder@project", environment.get("serviceAccountEmail").asText());
        assertFalse(environment.toString(), environment.toString().contains("worker_accelerator"));
        assertEquals("project", option(job, "project").asText());
        assertEquals("europe-west1", option(job, "region").asText());
        assertEquals("gs://bucket/temp", option(job, "tempLocation").asText());
        assertEquals("n1-highmem-8", pool(job).get("machineType").asText());
        assertEquals(7, pool(job).get("autoscalingSettings").get("maxNumWorkers").asInt());
        assertEveryJarIsStaged(pool(job));
        assertEquals(
                Set.of("GET /bigquery/v2/projects/project/datasets/dataset/tables/embeddings"), bigQuery.requests());
    }

    @Test
    public void aJobOnGpusAsksForTheAcceleratorTheImageAndRunnerV2() throws Exception {
        JsonNode job = description("launch-gpu");
        JsonNode environment = job.get("environment");
        assertEquals("[\"worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver\"]",
                environment.get("serviceOptions").toString());
        assertTrue(environment.get("experiments").toString().contains("\"use_runner_v2\""));
        assertEquals("registry/images/beam-cuda",
                pool(job).get("sdkHarnessContainerImages").get(0).get("containerImage").asText());
        assertEveryJarIsStaged(pool(job));
    }

    @Test
    public void nameAndMachinesMayBeFlagsInsteadOfSettings() throws Exception {
        settings.put("JOB_NAME", "nightly");
        for (List<String> flags : List.of(
                List.of("--job_name=weekly", "--machine_type", "n2-highmem-16"),
                List.of("--jobName", "weekly", "--worker-machine-type=n2-highmem-16"),
                List.of("--job-name=weekly", "--workerMachineType", "n2-highmem-16"))) {
            JsonNode job = description("launch-cpu", flags.toArray(new String[0]));
            assertEquals("" + flags, "weekly", job.get("name").asText());
            assertEquals("" + flags, "n2-highmem-16", pool(job).get("machineType").asText());
        }
    }

    @Test
    public void theQueryOfTheExamplesTakesThePlaceOfTheTable() throws Exception {
        settings.remove("TABLE");
        settings.put("QUERY_FILE", ExampleScript.EXAMPLES.resolve("bq.sql").toString());
        settings.put("JOB_NAME", "nightly");
        settings.put("MACHINE_TYPE", "n2-highmem-16");
        JsonNode job = description("launch-cpu");
        assertEquals("nightly", job.get("name").asText());
        assertEquals("n2-highmem-16", pool(job).get("machineType").asText());
        assertEquals(Set.of("POST /bigquery/v2/projects/project/jobs"), bigQuery.requests());
    }
}
