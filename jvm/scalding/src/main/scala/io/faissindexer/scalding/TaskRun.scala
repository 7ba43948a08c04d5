package io.faissindexer.scalding

import java.util.concurrent.TimeUnit

import cascading.flow.FlowProcess
import io.faissindexer.stages.StageControl
import org.apache.hadoop.conf.Configuration

/**
 * The task of Hadoop's that a Function is in. While native code works, a thread tells Hadoop that the task is alive; what
 * the native code has done goes to the job's counters.
 */
private[scalding] final class TaskRun(flow: FlowProcess[_]) extends StageControl with AutoCloseable {
  import TaskRun._

  private val worker = Thread.currentThread()
  private val begin = System.nanoTime()
  @volatile private var isWorking = false
  private val heartbeat = new Thread(new Runnable { override def run(): Unit = beat() }, "faiss-indexer heartbeat")
  heartbeat.setDaemon(true)
  heartbeat.start()

  /** The number of the task, which every attempt has. */
  def number: Int = flow.getCurrentSliceNum

  def configuration: Configuration = flow.getConfigCopy.asInstanceOf[Configuration]

  /** Work that may take longer than Hadoop waits for a sign of life. */
  def working[A](work: => A): A = {
    isWorking = true
    try work
    finally isWorking = false
  }

  override def threads(): Int = {
    val isMap = property("mapreduce.task.ismap").forall(_.toBoolean)
    property(if (isMap) "mapreduce.map.cpu.vcores" else "mapreduce.reduce.cpu.vcores").fold(1)(_.toInt)
  }

  override def isCancelled: Boolean = worker.isInterrupted

  override def onProgress(moreRows: Long, moreBytes: Long): Unit = {
    flow.increment(CounterGroup, "rows", moreRows)
    flow.increment(CounterGroup, "bytes", moreBytes)
  }

  override def close(): Unit = {
    heartbeat.interrupt()
    heartbeat.join()
    flow.increment(CounterGroup, "seconds", TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begin))
  }

  private def property(key: String): Option[String] = Option(flow.getProperty(key)).map(_.toString)

  private def beat(): Unit =
    try {
      while (true) {
        Thread.sleep(MillisBetweenBeats)
        if (isWorking) flow.keepAlive()
      }
    } catch { case _: InterruptedException => () }
}

private[scalding] object TaskRun {
  private val CounterGroup = "faiss-indexer"
  private val MillisBetweenBeats = 1000L
}
