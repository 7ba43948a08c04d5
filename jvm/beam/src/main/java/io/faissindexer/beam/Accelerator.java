package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;
import org.apache.beam.runners.dataflow.options.DataflowPipelineOptions;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.util.ReleaseInfo;
import org.apache.beam.sdk.util.construction.Environments;

/** What Dataflow has to be told so that its workers have a GPU. What a user says of it stays as it is. */
final class Accelerator {
    private static final String DATAFLOW = "org.apache.beam.runners.dataflow.DataflowRunner";
    private static final String SERVICE_OPTION = "worker_accelerator";
    private static final String TESLA_T4 = SERVICE_OPTION + "=type:nvidia-tesla-t4;count:1;install-nvidia-driver";
    private static final String RUNNER_V2 = "use_runner_v2";
    private static final List<String> SAY_WHICH_RUNNER =
            List.of(RUNNER_V2, "use_unified_worker", "disable_runner_v2", "disable_unified_worker");

    private Accelerator() {
    }

    /**
     * Adds what is absent.
     *
     * @param additions hears of each
     * @throws FaissIndexException of kind INVALID_SPEC where workers cannot have one
     */
    static void addTo(PipelineOptions options, Consumer<String> additions) {
        if (!options.getRunner().getName().equals(DATAFLOW)) {
            throw invalid("--use-gpu yes asks Dataflow for workers with a GPU; " + options.getRunner().getSimpleName()
                    + " has none to give, and builds on CPUs with --use-gpu no or auto");
        }
        OfDataflow.addTo(options.as(DataflowPipelineOptions.class), additions);
    }

    private static FaissIndexException invalid(String message) {
        return new FaissIndexException(Kind.INVALID_SPEC, message);
    }

    /** Loaded only where Dataflow's runner is. */
    private static final class OfDataflow {
        /** Without CUDA, which no stage needs. */
        private static final String SDK_IMAGE = "apache/beam_" + Environments.getJavaVersion() + "_sdk:"
                + ReleaseInfo.getReleaseInfo().getVersion();

        static void addTo(DataflowPipelineOptions options, Consumer<String> additions) {
            if (options.getSdkContainerImage() == null) {
                options.setSdkContainerImage(SDK_IMAGE);
                additions.accept("--use-gpu adds --sdkContainerImage=" + SDK_IMAGE);
            }
            List<String> experiments = listOf(options.getExperiments());
            if (SAY_WHICH_RUNNER.stream().noneMatch(experiments::contains)) {
                experiments.add(RUNNER_V2);
                options.setExperiments(experiments);
                additions.accept("--use-gpu adds --experiments=" + RUNNER_V2);
            }
            List<String> services = listOf(options.getDataflowServiceOptions());
            if (!namesAccelerator(services) && !namesAccelerator(experiments)) {
                services.add(TESLA_T4);
                options.setDataflowServiceOptions(services);
                additions.accept("--use-gpu adds --dataflowServiceOptions=" + TESLA_T4);
            }
        }

        private static boolean namesAccelerator(List<String> given) {
            return given.stream().anyMatch(option -> option.startsWith(SERVICE_OPTION + "="));
        }

        private static List<String> listOf(List<String> given) {
            return given == null ? new ArrayList<>() : new ArrayList<>(given);
        }
    }
}
