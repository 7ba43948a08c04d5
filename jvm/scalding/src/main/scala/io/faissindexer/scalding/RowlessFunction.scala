package io.faissindexer.scalding

import cascading.flow.FlowProcess
import cascading.operation.{BaseOperation, Function, FunctionCall}
import io.faissindexer.stages.RowlessStage

/** Runs the task of a stage whose number comes as a row. */
private[scalding] final class RowlessFunction(stageFile: String)
    extends BaseOperation[Any](1, OutcomeBytes.Field)
    with Function[Any] {

  override def operate(flow: FlowProcess[_], call: FunctionCall[Any]): Unit = {
    val task = new TaskRun(flow)
    try {
      val stage = StageFile.read[RowlessStage](stageFile, task.configuration)
      val outcome = task.working(stage.run(call.getArguments.getInteger(0), task))
      call.getOutputCollector.add(OutcomeBytes.tuple(outcome))
    } finally task.close()
  }
}
