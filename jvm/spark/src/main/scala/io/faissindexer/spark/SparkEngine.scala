package io.faissindexer.spark

import java.util
import java.util.OptionalInt

import io.faissindexer.hadoop.HadoopFiles
import io.faissindexer.stages._
import io.faissindexer.storage.FileSystemHook
import org.apache.spark.{SparkContext, TaskContext}
import org.apache.spark.rdd.RDD

/** Runs the stages of a build as Spark jobs, each partition where it lies. */
private[spark] final class SparkEngine(
    context: SparkContext,
    embeddings: EmbeddingRows,
    override val input: String,
    say: String => Unit = _ => ())
    extends Engine {

  /** Rows of the last stage that read them all: what the next one will read. */
  private var expectedRows = 0L

  override val files: FileSystemHook.Factory = new HadoopFiles(context.hadoopConfiguration)

  override def threadsOfTask(): Int = context.getConf.getInt("spark.task.cpus", 1)

  override def firstDimension(): OptionalInt =
    named("look at the first row") {
      embeddings.firstDimension().fold(OptionalInt.empty())(OptionalInt.of)
    }

  override def onEveryPartition(name: String, stage: PartitionStage): util.List[StageOutcome] = {
    val source = embeddings.source
    val (outcomes, rows) = run(name, embeddings.rows, expectedRows) { (task, partition, control) =>
      stage.run(task.partitionId(), source(partition), control)
    }
    expectedRows = rows
    util.Arrays.asList(outcomes: _*)
  }

  override def inTasks(name: String, tasks: Int, stage: RowlessStage): util.List[StageOutcome] = {
    val numbers = context.parallelize(Seq.empty[Int], tasks)
    val (outcomes, _) = run(name, numbers, 0) { (task, _, control) => stage.run(task.partitionId(), control) }
    util.Arrays.asList(outcomes: _*)
  }

  private def run[T](name: String, rdd: RDD[T], totalRows: Long)(
      work: (TaskContext, Iterator[T], StageControl) => StageOutcome): (Array[StageOutcome], Long) = {
    val metrics = StageMetrics.registered(context)
    val progress = new StageProgress(name, rdd.getNumPartitions, totalRows, metrics, say)
    val outcomes = named(name) {
      progress.during(context) {
        val outcomes = new Array[StageOutcome](rdd.getNumPartitions)
        context.runJob(rdd, SparkEngine.task(work, metrics), outcomes.indices, (partition: Int, outcome: StageOutcome) => {
          outcome.requireDone()
          outcomes(partition) = outcome
        })
        outcomes
      }
    }
    (outcomes, metrics.rows.value)
  }

  /** Runs jobs under a name of ours and gives the caller's name back. */
  private def named[T](name: String)(jobs: => T): T = {
    val title = s"faiss-indexer: $name"
    val properties = Seq("spark.job.description" -> title, "callSite.short" -> title, "callSite.long" -> title)
    val before = properties.map { case (key, _) => key -> context.getLocalProperty(key) }
    properties.foreach { case (key, value) => context.setLocalProperty(key, value) }
    try jobs
    finally before.foreach { case (key, value) => context.setLocalProperty(key, value) }
  }
}

private[spark] object SparkEngine {

  /** Apart from the engine, which stays on the driver. */
  private def task[T](
      work: (TaskContext, Iterator[T], StageControl) => StageOutcome,
      metrics: StageMetrics): (TaskContext, Iterator[T]) => StageOutcome =
    (context, rows) => {
      val begin = System.nanoTime()
      try work(context, rows, new TaskControl(context, metrics))
      finally metrics.seconds.add((System.nanoTime() - begin) / 1e9)
    }

  private final class TaskControl(context: TaskContext, metrics: StageMetrics) extends StageControl {
    override def threads: Int = context.cpus()

    override def isCancelled: Boolean = context.isInterrupted()

    override def onProgress(moreRows: Long, moreBytes: Long): Unit = {
      metrics.rows.add(moreRows)
      metrics.bytes.add(moreBytes)
    }
  }
}
