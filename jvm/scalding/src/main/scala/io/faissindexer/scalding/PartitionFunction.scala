package io.faissindexer.scalding

import cascading.flow.FlowProcess
import cascading.operation.{BaseOperation, Function, FunctionCall, OperationCall}
import cascading.tuple.Tuple
import io.faissindexer.hadoop.tasks.{OutcomeBytes, StageFile}
import io.faissindexer.stages.{PartitionRun, PartitionStage, RowSink, RowSource, StageOutcome}
import org.apache.hadoop.fs.Path

import PartitionFunction.Open

/** Gives the rows of a task to a stage and hands on its outcome after the last one. */
private[scalding] final class PartitionFunction[T](stageFile: String, reader: EmbeddingReader[T])
    extends BaseOperation[Open[T]](1, HadoopTasks.Outcome)
    with Function[Open[T]] {

  override def operate(flow: FlowProcess[_], call: FunctionCall[Open[T]]): Unit = {
    if (call.getContext == null) call.setContext(new Open(new TaskRun(flow), stageFile, reader))
    call.getContext.take(call.getArguments.getObject(0).asInstanceOf[T])
  }

  override def flush(flow: FlowProcess[_], call: OperationCall[Open[T]]): Unit =
    Option(call.getContext).foreach { open =>
      val outcome = open.finish()
      call.asInstanceOf[FunctionCall[Open[T]]].getOutputCollector.add(new Tuple(OutcomeBytes.of(outcome)))
    }

  override def cleanup(flow: FlowProcess[_], call: OperationCall[Open[T]]): Unit = {
    Option(call.getContext).foreach(_.close())
    call.setContext(null)
  }
}

private[scalding] object PartitionFunction {

  /** A stage that has met a row. */
  final class Open[T](task: TaskRun, stageFile: String, reader: EmbeddingReader[T]) extends AutoCloseable {
    private val run: PartitionRun =
      StageFile.read(new Path(stageFile), task.configuration).asInstanceOf[PartitionStage].begin(task.number, task)
    private val row = new OneRow(reader)

    def take(next: T): Unit = {
      row.row = next
      run.take(row)
    }

    def finish(): StageOutcome = {
      val outcome = run.finish()
      task.end(outcome)
      outcome
    }

    override def close(): Unit = run.close()
  }

  /** Made once and filled again and again. */
  private final class OneRow[T](reader: EmbeddingReader[T]) extends RowSource {
    var row: T = _

    override def forEachRow(sink: RowSink): Unit = reader.give(row, sink)
  }
}
