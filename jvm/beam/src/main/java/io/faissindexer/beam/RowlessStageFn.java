package io.faissindexer.beam;

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

    RowlessStageFn(PCollectionView<Map<String, RowlessStage>> stages) {
        this.stages = stages;
    }

    /** Runs a task. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        String group = context.element().getKey();
        RowlessStage stage = context.sideInput(stages).get(group);
        int threads = Runtime.getRuntime().availableProcessors();
        StageOutcome outcome;
        try (StageMetrics metrics = new StageMetrics(stage.name(), stage.buildName(), threads)) {
            outcome = stage.run(context.element().getValue(), metrics);
            metrics.end(outcome);
        }
        context.output(KV.of(group, outcome));
    }
}
