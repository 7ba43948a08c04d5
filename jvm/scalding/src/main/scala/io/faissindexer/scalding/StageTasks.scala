package io.faissindexer.scalding

import com.twitter.scalding.{Config, Execution, HadoopMode, Mode, TypedPipe}
import io.faissindexer.IndexSpec
import io.faissindexer.stages.{PartitionStage, RowlessStage, StageOutcome}
import io.faissindexer.storage.FileSystemHook

/** How one mode of Scalding runs a stage in tasks. */
private[scalding] trait StageTasks {

  /** The output directory as the driver and the tasks know it. */
  def outputDirectory: String

  def files: FileSystemHook.Factory

  /** The CPUs of a task. */
  def threads: Int

  /** One outcome for each task that has met a row. */
  def onEveryPartition[T](
      name: String,
      rows: TypedPipe[T],
      reader: EmbeddingReader[T],
      stage: PartitionStage): Execution[Iterable[StageOutcome]]

  /** One outcome per task. */
  def inTasks(name: String, number: Int, stage: RowlessStage): Execution[Iterable[StageOutcome]]
}

private[scalding] object StageTasks {

  def in(
      config: Config,
      mode: Mode,
      spec: IndexSpec,
      outputDirectory: String,
      say: String => Unit): StageTasks =
    mode match {
      case hadoop: HadoopMode => HadoopTasks.of(config, hadoop, spec, outputDirectory, say)
      case _ => new TasksInProcess(outputDirectory)
    }
}
