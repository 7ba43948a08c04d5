package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import java.util.Map;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollectionView;

/** Runs the tasks of a stage that takes no rows, by their group and number. */
final class RowlessStageFn extends DoFn<KV<String, Integer>, KV<String, StageOutcome>> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<Map<String, RowlessStage>> stages;
    private final boolean isDispensable;

    private RowlessStageFn(PCollectionView<Map<String, RowlessStage>> stages, boolean isDispensable) {
        this.stages = stages;
        this.isDispensable = isDispensable;
    }

    /** A function for stages without which there is no index, which are tried again where that may help. */
    static RowlessStageFn required(PCollectionView<Map<String, RowlessStage>> stages) {
        return new RowlessStageFn(stages, false);
    }

    /** A function for stages whose failure is but an outcome: where nothing is tried again, it would end the build. */
    static RowlessStageFn dispensable(PCollectionView<Map<String, RowlessStage>> stages) {
        return new RowlessStageFn(stages, true);
    }

    /** Runs a task. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        String group = context.element().getKey();
        RowlessStage stage = context.sideInput(stages).get(group);
        int threads = Runtime.getRuntime().availableProcessors();
        StageOutcome outcome;
        try (StageMetrics metrics = new StageMetrics(stage.name(), stage.buildName(), threads)) {
            outcome = run(stage, context.element().getValue(), metrics);
            metrics.end(outcome);
        }
        context.output(KV.of(group, outcome));
    }

    private StageOutcome run(RowlessStage stage, int task, StageMetrics metrics) throws Exception {
        try {
            return stage.run(task, metrics);
        } catch (FaissIndexException failure) {
            if (!isDispensable || failure.kind() == Kind.CANCELLED) {
                throw failure;
            }
            return StageOutcome.failed(failure);
        }
    }
}
