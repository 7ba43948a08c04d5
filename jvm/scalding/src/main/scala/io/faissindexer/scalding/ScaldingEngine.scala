package io.faissindexer.scalding

import java.util
import java.util.OptionalInt

import com.twitter.scalding.{Execution, TypedPipe}
import io.faissindexer.stages.{Engine, PartitionStage, RowlessStage, StageOutcome}
import io.faissindexer.storage.FileSystemHook

/** Runs each stage of a build as an Execution of its own, each partition where it lies. */
private[scalding] final class ScaldingEngine[T](
    rows: TypedPipe[T],
    reader: EmbeddingReader[T],
    override val input: String,
    tasks: StageTasks,
    executions: Executions,
    progress: StageProgress)
    extends Engine {

  override def files(): FileSystemHook.Factory = tasks.files

  override def threadsOfTask(): Int = tasks.threads

  override def firstDimension(): OptionalInt = {
    val first = ScaldingEngine.dimensions(rows, reader).limit(1).toIterableExecution
    executions.await(first.map(_.headOption)).fold(OptionalInt.empty())(OptionalInt.of)
  }

  override def onEveryPartition(name: String, stage: PartitionStage): util.List[StageOutcome] =
    outcomes(name, tasks.onEveryPartition(name, rows, reader, stage))

  override def inTasks(name: String, number: Int, stage: RowlessStage): util.List[StageOutcome] =
    outcomes(name, tasks.inTasks(name, number, stage))

  private def outcomes(name: String, stage: Execution[Iterable[StageOutcome]]): util.List[StageOutcome] = {
    val outcomes = new util.ArrayList[StageOutcome]
    progress.of(name) {
      executions.await(stage).foreach { outcome =>
        outcome.requireDone()
        outcomes.add(outcome)
      }
    }
    outcomes
  }
}

private[scalding] object ScaldingEngine {

  /** Apart from the engine, which stays in the driver. */
  private def dimensions[T](rows: TypedPipe[T], reader: EmbeddingReader[T]): TypedPipe[Int] =
    rows.flatMap(reader.dimension(_))
}
