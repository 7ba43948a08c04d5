package io.faissindexer.scalding

import cascading.flow.FlowProcess
import io.faissindexer.hadoop.TaskKind
import io.faissindexer.hadoop.tasks.{HadoopTask, StageCounter}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.mapreduce.MRJobConfig

/** The task of Hadoop's that a Function is in. */
private[scalding] final class TaskRun(flow: FlowProcess[_]) extends HadoopTask {

  /** The number of the task, which every attempt has. */
  def number: Int = flow.getCurrentSliceNum

  lazy val configuration: Configuration = flow.getConfigCopy.asInstanceOf[Configuration]

  override def threads(): Int = {
    val kind = if (configuration.getBoolean(MRJobConfig.TASK_ISMAP, true)) TaskKind.MAP else TaskKind.REDUCE
    kind.coresIn(configuration)
  }

  override protected def count(counter: String, more: Long): Unit = flow.increment(StageCounter.GROUP, counter, more)

  override protected def keepAlive(): Unit = flow.keepAlive()
}
