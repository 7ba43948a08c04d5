package io.faissindexer.mapreduce;

import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageControl;
import io.faissindexer.stages.StageOutcome;
import org.apache.hadoop.io.NullWritable;

/** Runs one task of a stage that takes no rows. */
public final class RowlessMapper extends StageMapper<NullWritable> {
    @Override
    StageOutcome run(Object stage, int task, Context context, StageControl control) throws Exception {
        return ((RowlessStage) stage).run(task, control);
    }
}
