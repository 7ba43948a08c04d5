package io.faissindexer.beam;

import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.values.PCollectionView;

/** Runs the tasks of a stage that takes no rows, by their numbers. */
final class RowlessStageFn extends DoFn<Integer, StageOutcome> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<RowlessStage> stage;

    RowlessStageFn(PCollectionView<RowlessStage> stage) {
        this.stage = stage;
    }

    /** Runs a task. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        StageOutcome outcome;
        try (StageMetrics metrics = new StageMetrics(Runtime.getRuntime().availableProcessors())) {
            outcome = context.sideInput(stage).run(context.element(), metrics);
            metrics.end(outcome);
        }
        context.output(outcome);
    }
}
