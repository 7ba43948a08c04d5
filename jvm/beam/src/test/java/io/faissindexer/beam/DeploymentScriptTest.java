package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What the scripts of examples/dataflow ask of gcloud and Docker, and what they miss. */
public class DeploymentScriptTest {
    private static final Map<String, String> SETTINGS = Map.of(
            "PROJECT", "project", "REGION", "europe-west1", "BUCKET", "bucket", "OUTPUT", "gs://bucket/index",
            "SERVICE_ACCOUNT", "builder@project.iam.gserviceaccount.com", "WORKER_IMAGE", "registry/images/beam-cuda",
            "TEMPLATE_IMAGE", "registry/images/template", "TEMPLATE", "gs://bucket/template.json");
    private static final Map<String, List<String>> NEEDS = Map.of(
            "prepare-project", List.of("PROJECT", "REGION", "BUCKET", "SERVICE_ACCOUNT"),
            "launch-cpu", List.of("PROJECT", "REGION", "BUCKET", "SERVICE_ACCOUNT", "OUTPUT"),
            "launch-gpu", List.of("PROJECT", "REGION", "BUCKET", "SERVICE_ACCOUNT", "OUTPUT", "WORKER_IMAGE"),
            "build-worker-image", List.of("WORKER_IMAGE"),
            "build-template", List.of("PROJECT", "TEMPLATE_IMAGE", "TEMPLATE"),
            "run-template", List.of("PROJECT", "REGION", "BUCKET", "SERVICE_ACCOUNT", "TEMPLATE"));

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private List<String> askedBy(Map<String, String> settings, String name, String... arguments) throws Exception {
        ExampleScript script = ExampleScript.of(folder.newFolder(), settings, name, arguments);
        int exitCode = script.run();
        assertEquals(script.stderr(), 0, exitCode);
        return script.asked();
    }

    private static Map<String, String> with(String name, String value) {
        Map<String, String> settings = new HashMap<>(SETTINGS);
        settings.put(name, value);
        return settings;
    }

    /** What makes something, without its options. */
    private static List<String> creations(List<String> asked) {
        return asked.stream().filter(line -> line.contains(" create "))
                .map(line -> line.replaceAll(" --.*", "")).collect(Collectors.toList());
    }

    @Test
    public void aSettingThatIsMissingIsNamedAndNothingIsAskedFor() throws Exception {
        for (Map.Entry<String, List<String>> script : NEEDS.entrySet()) {
            for (String setting : script.getValue()) {
                ExampleScript run = ExampleScript.of(folder.newFolder(), with(setting, ""), script.getKey());
                assertEquals(script + " without " + setting, 2, run.run());
                assertTrue(run.stderr(), run.stderr().matches("[a-z-]+: " + setting + " is not set: [^\n]+\n"));
                assertEquals(List.of(), run.asked());
            }
        }
    }

    @Test
    public void aDryRunWithoutAFileIsRefused() throws IOException, InterruptedException {
        ExampleScript run = ExampleScript.of(folder.getRoot(), SETTINGS, "launch-cpu", "--dry-run");
        assertEquals(2, run.run());
        assertEquals("launch-cpu: --dry-run has no file\n", run.stderr());
    }

    @Test
    public void anEmptyProjectGetsABucketARepositoryAndAnAccountWithItsRoles() throws Exception {
        List<String> asked = askedBy(SETTINGS, "prepare-project");
        assertEquals(
                List.of("gcloud storage buckets create gs://bucket", "gcloud artifacts repositories create images",
                        "gcloud iam service-accounts create builder"),
                creations(asked));
        List<String> roles = asked.stream().filter(line -> line.contains("add-iam-policy-binding"))
                .peek(line -> assertTrue(
                        line, line.contains("--member serviceAccount:builder@project.iam.gserviceaccount.com")))
                .map(line -> line.replaceAll(".*--role roles/([^ ]+).*", "$1")).collect(Collectors.toList());
        assertEquals(
                List.of("dataflow.worker", "bigquery.dataViewer", "bigquery.readSessionUser", "bigquery.user",
                        "storage.objectAdmin", "artifactregistry.reader"),
                roles);
    }

    @Test
    public void whatIsInTheProjectStays() throws Exception {
        assertEquals(List.of(), creations(askedBy(with("DESCRIBED", "0"), "prepare-project")));
    }

    @Test
    public void theImageOfTheWorkersIsBuiltAndPushed() throws Exception {
        assertEquals(
                List.of("docker build --platform linux/amd64 --tag registry/images/beam-cuda "
                                + ExampleScript.EXAMPLES.resolve("worker_harness"),
                        "docker push registry/images/beam-cuda"),
                askedBy(SETTINGS, "build-worker-image"));
    }

    @Test
    public void theTemplateIsMadeOfAnImageAndTheMetadata() throws Exception {
        Path files = ExampleScript.EXAMPLES.resolve("flex_template");
        assertEquals(
                List.of("docker build --platform linux/amd64 --tag registry/images/template --file "
                                + files.resolve("Dockerfile") + " "
                                + ExampleScript.EXAMPLES.resolve("../../dist").normalize(),
                        "docker push registry/images/template",
                        "gcloud dataflow flex-template build gs://bucket/template.json --project project"
                                + " --image registry/images/template --sdk-language JAVA --metadata-file "
                                + files.resolve("metadata.json")),
                askedBy(SETTINGS, "build-template"));
    }

    @Test
    public void parametersOfTheTemplateMayHoldCommas() throws Exception {
        assertEquals(
                List.of("gcloud dataflow flex-template run faiss-indexer --project project --region europe-west1"
                        + " --template-file-gcs-location gs://bucket/template.json"
                        + " --service-account-email builder@project.iam.gserviceaccount.com"
                        + " --staging-location gs://bucket/staging --temp-location gs://bucket/temp"
                        + " --parameters ^|^table=d.t|factoryString=OPQ48,IVF1024,PQ48"),
                askedBy(SETTINGS, "run-template", "table=d.t", "factoryString=OPQ48,IVF1024,PQ48"));
    }
}
