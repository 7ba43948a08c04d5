package io.faissindexer.scalding

import com.twitter.scalding.{Execution, TypedPipe}
import io.faissindexer.stages.{PartitionStage, RowlessStage, StageControl, StageOutcome}
import io.faissindexer.storage.FileSystemHook

/**
 * The modes without Hadoop, in which everything happens in this process: a stage is handed over as it is, and the
 * native library reaches files by itself. Uses nothing of Cascading's.
 */
private[scalding] final class TasksInProcess(override val outputDirectory: String) extends StageTasks {
  import TasksInProcess._

  override def threads: Int = Runtime.getRuntime.availableProcessors

  override val files: FileSystemHook.Factory = NativeFiles

  override def onEveryPartition[T](
      name: String,
      rows: TypedPipe[T],
      reader: EmbeddingReader[T],
      stage: PartitionStage): Execution[Iterable[StageOutcome]] =
    rows.groupAll
      .mapGroup { (_: Unit, partition: Iterator[T]) =>
        Iterator.single(stage.run(0, reader.source(partition), new WholeMachine))
      }
      .values
      .toIterableExecution

  override def inTasks(name: String, number: Int, stage: RowlessStage): Execution[Iterable[StageOutcome]] =
    TypedPipe
      .from(0 until number)
      .groupBy(identity)
      .mapGroup((task: Int, _: Iterator[Int]) => Iterator.single(stage.run(task, new WholeMachine)))
      .values
      .toIterableExecution
}

private[scalding] object TasksInProcess {

  private case object NativeFiles extends FileSystemHook.Factory {
    override def open(): FileSystemHook = null
  }

  private final class WholeMachine extends StageControl {
    private val worker = Thread.currentThread()

    override def threads(): Int = Runtime.getRuntime.availableProcessors

    override def isCancelled: Boolean = worker.isInterrupted

    override def onProgress(moreRows: Long, moreBytes: Long): Unit = ()
  }
}
