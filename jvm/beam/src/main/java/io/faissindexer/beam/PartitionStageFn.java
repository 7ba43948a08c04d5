package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.PartitionRun;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.StageOutcome;
import java.io.IOException;
import java.util.HashMap;
import java.util.Map;
import java.util.concurrent.ThreadLocalRandom;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollectionView;

/**
 * Runs a stage over the rows of each bundle, of which every group is a partition of its own. What an attempt has
 * written that the runner did not commit is in no outcome, so nobody ever reads it.
 */
final class PartitionStageFn extends DoFn<KV<String, KV<Long, float[]>>, KV<String, StageOutcome>> {
    private static final long serialVersionUID = 1L;

    private final PCollectionView<Map<String, PartitionStage>> stages;
    private final boolean isForSomeGroups;
    private transient Map<String, Partition> partitions;

    private PartitionStageFn(PCollectionView<Map<String, PartitionStage>> stages, boolean isForSomeGroups) {
        this.stages = stages;
        this.isForSomeGroups = isForSomeGroups;
    }

    /** A function for stages by group; a row of a group that is not among them fails. */
    static PartitionStageFn forAllGroups(PCollectionView<Map<String, PartitionStage>> stages) {
        return new PartitionStageFn(stages, false);
    }

    /** A function for stages by group, which lack groups that need none. */
    static PartitionStageFn forSomeGroups(PCollectionView<Map<String, PartitionStage>> stages) {
        return new PartitionStageFn(stages, true);
    }

    /** Begins a bundle. */
    @StartBundle
    public void begin() {
        partitions = new HashMap<>();
    }

    /** Takes a row. */
    @ProcessElement
    public void process(ProcessContext context) throws Exception {
        String group = context.element().getKey();
        Partition partition = partitions.get(group);
        if (partition == null) {
            PartitionStage stage = context.sideInput(stages).get(group);
            if (stage == null && !isForSomeGroups) {
                throw new FaissIndexException(
                        Kind.BAD_ROWS, "the group '" + group + "': it had no row when the build began to read;"
                                + " the input has changed since then");
            }
            partition = new Partition(stage);
            partitions.put(group, partition);
        }
        partition.take(context.element().getValue());
    }

    /** Hands on what the stages have come to. */
    @FinishBundle
    public void finish(FinishBundleContext context) throws Exception {
        for (Map.Entry<String, Partition> partition : partitions.entrySet()) {
            if (partition.getValue().isNeeded()) {
                context.output(
                        KV.of(partition.getKey(), partition.getValue().finish()),
                        GlobalWindow.INSTANCE.maxTimestamp(),
                        GlobalWindow.INSTANCE);
            }
        }
    }

    /** Undoes what an unfinished bundle has written. */
    @Teardown
    public void close() throws IOException {
        if (partitions == null) {
            return;
        }
        IOException failure = new IOException("partitions cannot be closed");
        for (Partition partition : partitions.values()) {
            try {
                partition.close();
            } catch (IOException | FaissIndexException next) {
                failure.addSuppressed(next);
            }
        }
        if (failure.getSuppressed().length > 0) {
            throw failure;
        }
    }

    /** The rows of a group in a bundle. */
    private static final class Partition implements AutoCloseable {
        private final StageMetrics metrics;
        private final PartitionRun run;

        /** A partition of a stage, or of none. */
        Partition(PartitionStage stage) {
            metrics = stage == null ? null : new StageMetrics(stage.name(), stage.buildName(), 1);
            // Bundles have no numbers; it is a name for messages only.
            run = stage == null ? null : stage.begin(ThreadLocalRandom.current().nextInt(Integer.MAX_VALUE), metrics);
        }

        boolean isNeeded() {
            return run != null;
        }

        void take(KV<Long, float[]> row) throws Exception {
            if (!isNeeded()) {
                return;
            }
            run.take(sink -> {
                if (row.getKey() == null) {
                    sink.nullId();
                } else if (row.getValue() == null) {
                    sink.nullEmbedding(row.getKey());
                } else {
                    sink.add(row.getKey(), row.getValue());
                }
            });
            metrics.count();
        }

        StageOutcome finish() throws Exception {
            StageOutcome outcome = run.finish();
            metrics.end(outcome);
            close();
            return outcome;
        }

        /** Undoes what it has written unless it has finished; may be called again. */
        @Override
        public void close() throws IOException {
            if (isNeeded()) {
                try {
                    run.close();
                } finally {
                    metrics.close();
                }
            }
        }
    }
}
