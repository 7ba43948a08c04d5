package io.faissindexer.beam;

import io.faissindexer.stages.PartitionRun;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.StageOutcome;
import java.io.IOException;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollectionView;

/**
 * Runs a stage over the rows of each bundle, which is a partition of its own. What an attempt has written that the
 * runner did not commit is in no outcome, so nobody ever reads it.
 */
final class PartitionStageFn extends DoFn<KV<Long, float[]>, StageOutcome> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<List<PartitionStage>> stage;
    private transient PartitionRun run;
    private transient StageMetrics metrics;

    /** A function for a stage that is there once or, where it is not needed, not at all. */
    PartitionStageFn(PCollectionView<List<PartitionStage>> stage) {
        this.stage = stage;
    }

    /** Takes a row. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        if (run == null) {
            List<PartitionStage> wanted = context.sideInput(stage);
            if (wanted.isEmpty()) {
                return;
            }
            metrics = new StageMetrics(1);
            // Bundles have no numbers; it is a name for messages only.
            run = wanted.get(0).begin(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE), metrics);
        }
        KV<Long, float[]> row = context.element();
        run.take(sink -> {
            if (row.getKey() == null) {
                sink.nullId();
            } else if (row.getValue() == null) {
                sink.nullEmbedding(row.getKey());
            } else {
                sink.add(row.getKey(), row.getValue());
            }
        });
    }

    /** Hands on what the stage has come to. */
    @FinishBundle
    public void finish(FinishBundleContext context) throws Exception {
        if (run != null) {
            StageOutcome outcome = run.finish();
            metrics.end(outcome);
            close();
            context.output(outcome, GlobalWindow.INSTANCE.maxTimestamp(), GlobalWindow.INSTANCE);
        }
    }

    /** Undoes what an unfinished bundle has written. */
    @Teardown
    public void close() throws IOException {
        PartitionRun ended = run;
        StageMetrics counted = metrics;
        run = null;
        metrics = null;
        try {
            if (ended != null) {
                ended.close();
            }
        } finally {
            if (counted != null) {
                counted.close();
            }
        }
    }
}
