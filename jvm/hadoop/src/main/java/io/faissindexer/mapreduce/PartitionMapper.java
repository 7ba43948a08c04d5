package io.faissindexer.mapreduce;

import io.faissindexer.mapreduce.input.EmbeddingRow;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;

/** Runs a stage over the rows of one split. */
public final class PartitionMapper extends StageMapper<EmbeddingRow> {
    @Override
    StageOutcome run(Object stage, int task, Context context, StageControl control) throws Exception {
        return ((PartitionStage) stage).run(task, sink -> {
            while (context.nextKeyValue()) {
                context.getCurrentValue().giveTo(sink);
            }
        }, control);
    }
}
