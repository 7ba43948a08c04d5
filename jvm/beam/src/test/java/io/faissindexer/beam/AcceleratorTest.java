package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.beam.runners.dataflow.options.DataflowPipelineOptions;
import org.apache.beam.sdk.options.PipelineOptions;
import org.junit.Test;

public class AcceleratorTest {
    private static final String TESLA_T4 = "worker_accelerator=type:nvidia-tesla-t4;count:1;install-nvidia-driver";
    private static final String ANOTHER = "worker_accelerator=type:nvidia-l4;count:2;install-nvidia-driver";

    private final List<String> additions = new ArrayList<>();

    private DataflowPipelineOptions withGpu(String... more) {
        List<String> arguments = new ArrayList<>(List.of("--table=p:d.t", "--output=/out", "--use_gpu=yes"));
        arguments.addAll(Arrays.asList(more));
        PipelineOptions options = BuilderArguments.parse(arguments.toArray(new String[0])).options();
        Accelerator.addTo(options, additions::add);
        return options.as(DataflowPipelineOptions.class);
    }

    @Test
    public void whatIsAbsentIsAddedAndSaid() {
        DataflowPipelineOptions options =
                withGpu("--runner=DataflowRunner", "--sdk_container_image=image", "--experiments=shuffle_mode=service");
        assertEquals(Arrays.asList("shuffle_mode=service", "use_runner_v2"), options.getExperiments());
        assertEquals(Arrays.asList(TESLA_T4), options.getDataflowServiceOptions());
        assertEquals("image", options.getSdkContainerImage());
        assertEquals(
                Arrays.asList("--use-gpu adds --experiments=use_runner_v2",
                        "--use-gpu adds --dataflowServiceOptions=" + TESLA_T4),
                additions);
    }

    @Test
    public void whatIsGivenStays() {
        DataflowPipelineOptions options = withGpu("--runner=DataflowRunner", "--sdk_container_image=image",
                "--experiments=use_runner_v2", "--dataflow_service_options", ANOTHER);
        assertEquals(Arrays.asList("use_runner_v2"), options.getExperiments());
        assertEquals(Arrays.asList(ANOTHER), options.getDataflowServiceOptions());
        assertTrue(additions.toString(), additions.isEmpty());
    }

    @Test
    public void anAcceleratorAmongTheExperimentsStaysAsTheJobInPythonGaveIt() {
        DataflowPipelineOptions options = withGpu("--runner=DataflowRunner",
                "--worker_harness_container_image=image", "--experiments", "use_runner_v2", "--experiments", ANOTHER);
        assertEquals(Arrays.asList("use_runner_v2", ANOTHER), options.getExperiments());
        assertEquals(null, options.getDataflowServiceOptions());
    }

    @Test
    public void theImageIsThatOfBeamWhereNoneIsNamed() {
        String image = withGpu("--runner=DataflowRunner").getSdkContainerImage();
        assertTrue(image, image.matches("apache/beam_java[0-9]+_sdk:2\\.[0-9.]+"));
        assertTrue(additions.toString(), additions.contains("--use-gpu adds --sdkContainerImage=" + image));
    }

    @Test
    public void otherRunnersHaveNoGpuToGive() {
        assertRefused("DirectRunner has none to give", "--sdk_container_image=image");
    }

    private void assertRefused(String message, String... arguments) {
        FaissIndexException refused = assertThrows(FaissIndexException.class, () -> withGpu(arguments));
        assertEquals(Kind.INVALID_SPEC, refused.kind());
        assertTrue(refused.getMessage(), refused.getMessage().contains(message));
    }
}
