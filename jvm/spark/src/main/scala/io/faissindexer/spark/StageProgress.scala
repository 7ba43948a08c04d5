package io.faissindexer.spark

import java.util.concurrent.{CountDownLatch, TimeUnit}

import scala.collection.mutable

import org.apache.spark.{SparkContext, Success}
import org.apache.spark.scheduler._

/**
 * Follows the tasks of one stage and says every few seconds how far they are. Guarded by itself, because the events
 * come on a thread of Spark's.
 */
private[spark] final class StageProgress(
    name: String,
    tasks: Int,
    expectedRows: Long,
    metrics: StageMetrics,
    say: String => Unit)
    extends SparkListener {

  import StageProgress._

  private val marker = java.util.UUID.randomUUID().toString
  private val begin = System.nanoTime()
  private val jobs = mutable.Set.empty[Int]
  private val stages = mutable.Set.empty[Int]
  private val running = mutable.Set.empty[Long]
  private val done = mutable.Set.empty[Int]
  private val rowsInFlight = mutable.Map.empty[Long, Long]
  private var rowsOfEndedTasks = 0L
  private var jobHasStarted = false

  /**
   * Runs the job of the stage. Comes back when none of its tasks runs any more, also those that Spark does not wait
   * for, so that nobody writes files of a stage that is over.
   */
  def during[T](context: SparkContext)(job: => T): T = {
    context.addSparkListener(this)
    context.setLocalProperty(MarkerProperty, marker)
    val end = new CountDownLatch(1)
    val speaker = new Thread(() => speakUntil(end), s"faiss-indexer progress of $name")
    speaker.setDaemon(true)
    speaker.start()
    try {
      val result = job
      say(s"$name: done, $elapsed s" + rowsDone(metrics.rows.value))
      result
    } catch {
      case failure: Throwable =>
        // An interrupted driver thread leaves its job running.
        synchronized(jobs.toSeq).foreach(context.cancelJob)
        throw failure
    } finally {
      end.countDown()
      context.setLocalProperty(MarkerProperty, null)
      if (tasks > 0) awaitEndOfTasks()
      context.removeSparkListener(this)
    }
  }

  override def onJobStart(event: SparkListenerJobStart): Unit = synchronized {
    if (Option(event.properties).exists(_.getProperty(MarkerProperty) == marker)) {
      jobs += event.jobId
      stages ++= event.stageIds
      jobHasStarted = true
    }
  }

  override def onJobEnd(event: SparkListenerJobEnd): Unit = synchronized {
    jobs -= event.jobId
    notifyAll()
  }

  override def onTaskStart(event: SparkListenerTaskStart): Unit = synchronized {
    if (stages(event.stageId)) running += event.taskInfo.taskId
  }

  override def onTaskEnd(event: SparkListenerTaskEnd): Unit = synchronized {
    if (stages(event.stageId)) {
      val task = event.taskInfo
      running -= task.taskId
      rowsInFlight -= task.taskId
      if (event.reason == Success) {
        done += task.index
        rowsOfEndedTasks += rowsIn(task.accumulables)
      }
      notifyAll()
    }
  }

  override def onExecutorMetricsUpdate(event: SparkListenerExecutorMetricsUpdate): Unit = synchronized {
    event.accumUpdates.foreach { case (task, stage, _, updates) =>
      if (stages(stage) && running(task)) rowsInFlight(task) = rowsIn(updates)
    }
  }

  private def rowsIn(updates: Iterable[AccumulableInfo]): Long =
    updates.filter(_.id == metrics.rows.id).flatMap(_.update).collect { case rows: Long => rows }.sum

  private def speakUntil(end: CountDownLatch): Unit =
    while (!end.await(SecondsBetweenLines, TimeUnit.SECONDS)) say(line)

  private def line: String = synchronized {
    val rows = rowsOfEndedTasks + rowsInFlight.values.sum
    s"$name: ${done.size} of $tasks tasks, $elapsed s" + rowsDone(rows) + timeLeft(rows)
  }

  private def rowsDone(rows: Long): String =
    if (rows == 0) "" else f", $rows%,d rows, ${rows / math.max(elapsed, 1)}%,d rows/s"

  private def timeLeft(rows: Long): String = {
    val share =
      if (expectedRows > 0) rows.toDouble / expectedRows
      else done.size.toDouble / tasks
    if (share > 0 && share < 1) f", about ${elapsed * (1 - share) / share}%.0f s left" else ""
  }

  private def elapsed: Long = TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin)

  private def awaitEndOfTasks(): Unit = synchronized {
    val limit = System.nanoTime() + TimeUnit.SECONDS.toNanos(PatienceSeconds)
    while ((!jobHasStarted || jobs.nonEmpty || running.nonEmpty) && System.nanoTime() < limit) wait(PollMillis)
  }
}

private[spark] object StageProgress {
  private val MarkerProperty = "io.faissindexer.stage"
  private val SecondsBetweenLines = 5L
  /**
   * Most native code ends within a second of being cancelled; the rest is for Spark to tell the executors. Training and
   * encoding of a few families cannot be interrupted and may last longer; such a task writes nothing once it is
   * cancelled.
   */
  private val PatienceSeconds = 10L
  private val PollMillis = 100L
}
