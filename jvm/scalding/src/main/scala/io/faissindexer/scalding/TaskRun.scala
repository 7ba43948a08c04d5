package io.faissindexer.scalding

import cascading.flow.FlowProcess
import io.faissindexer.hadoop.tasks.{HadoopTask, StageCounter}
import org.apache.hadoop.conf.Configuration

/** The task of Hadoop's that a Function is in. */
private[scalding] final class TaskRun(flow: FlowProcess[_]) extends HadoopTask {

  /** The number of the task, which every attempt has. */
  def number: Int = flow.getCurrentSliceNum

  def configuration: Configuration = flow.getConfigCopy.asInstanceOf[Configuration]

  override def threads(): Int = {
    val isMap = property("mapreduce.task.ismap").forall(_.toBoolean)
    property(if (isMap) "mapreduce.map.cpu.vcores" else "mapreduce.reduce.cpu.vcores").fold(1)(_.toInt)
  }

  override protected def count(counter: String, more: Long): Unit = flow.increment(StageCounter.GROUP, counter, more)

  override protected def keepAlive(): Unit = flow.keepAlive()

  private def property(key: String): Option[String] = Option(flow.getProperty(key)).map(_.toString)
}
