package io.faissindexer.scalding

import cascading.flow.FlowProcess
import cascading.operation.{BaseOperation, Function, FunctionCall}
import cascading.tuple.Tuple
import io.faissindexer.hadoop.tasks.{OutcomeBytes, StageFile}
import io.faissindexer.stages.RowlessStage
import org.apache.hadoop.fs.Path

/** Runs the task of a stage whose number comes as a row. */
private[scalding] final class RowlessFunction(stageFile: String)
    extends BaseOperation[Any](1, HadoopTasks.Outcome)
    with Function[Any] {

  override def operate(flow: FlowProcess[_], call: FunctionCall[Any]): Unit = {
    val task = new TaskRun(flow)
    val stage = StageFile.read(new Path(stageFile), task.configuration).asInstanceOf[RowlessStage]
    val outcome = stage.run(call.getArguments.getInteger(0), task)
    task.end(outcome)
    call.getOutputCollector.add(new Tuple(OutcomeBytes.of(outcome)))
  }
}
