package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.extensions.gcp.storage.NoopPathValidator;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What Dataflow would be asked for; nobody is asked. */
public class DataflowJobTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private JsonNode description(String... more) throws IOException {
        File template = new File(folder.getRoot(), "job.json");
        List<String> arguments = new ArrayList<>(List.of(
                "--runner=DataflowRunner", "--job_name=nightly", "--project=project", "--region=europe-west1",
                "--staging_location=gs://bucket/staging", "--temp_location=gs://bucket/temp",
                "--service_account_email=builder@project", "--metric=ip",
                "--input=gs://bucket/rows", "--output_location=" + new File(folder.getRoot(), "index"),
                "--template_location=" + template,
                // Beam asks the bucket how it deletes where it has to derive this.
                "--gcp_temp_location=gs://bucket/temp",
                "--path_validator_class=" + NoopPathValidator.class.getName(),
                "--stager_class=" + ListingStager.class.getName(),
                "--credential_factory_class=" + NoopCredentialFactory.class.getName()));
        arguments.addAll(List.of(more));
        assertEquals(0, IndexBuilderApp.run(arguments.toArray(new String[0])));
        return new ObjectMapper().readTree(template);
    }

    @Test
    public void aJobOnCpusHasTheNamesThatTheFlagsSay() throws IOException {
        JsonNode job = description("--use_gpu=auto", "--worker_machine_type=n1-highmem-8");
        JsonNode environment = job.get("environment");
        assertEquals("nightly", job.get("name").asText());
        assertEquals("builder@project", environment.get("serviceAccountEmail").asText());
        assertFalse(environment.toString(), environment.toString().contains("worker_accelerator"));
        JsonNode pool = environment.get("workerPools").get(0);
        assertEquals("n1-highmem-8", pool.get("machineType").asText());
        assertTrue(pool.get("packages").toString().contains("storage.googleapis.com/bucket/staging/faiss-indexer"));
    }

    private void assertAsksForGpus(String image, String... more) throws IOException {
        JsonNode environment = description(more).get("environment");
        assertEquals("[\"worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver\"]",
                environment.get("serviceOptions").toString());
        assertTrue(environment.get("experiments").toString().contains("\"use_runner_v2\""));
        assertTrue(environment.get("workerPools").toString(),
                environment.get("workerPools").get(0).toString().contains("\"" + image));
    }

    @Test
    public void aJobOnGpusAsksForTheAcceleratorTheImageAndRunnerV2() throws IOException {
        assertAsksForGpus("image\"", "--use_gpu=yes", "--sdk_container_image=image");
    }

    @Test
    public void aJobOnGpusWithoutAnImageAsksForThatOfBeam() throws IOException {
        assertAsksForGpus("apache/beam_java", "--use_gpu=yes");
    }
}
