package io.faissindexer.scalding

import java.util.concurrent.ConcurrentHashMap

import scala.collection.JavaConverters._
import scala.util.Try

import cascading.flow.{Flow, FlowListener}
import com.twitter.scalding.Config
import io.faissindexer.hadoop.tasks.StageCounter

/** The flows of this process, for a look at the counters of their jobs. */
private[scalding] object RunningFlows {
  private val flows = ConcurrentHashMap.newKeySet[Flow[_]]()

  /** A configuration whose flows are noticed. */
  def noticed(config: Config): Config = config.addFlowListener((_, _) => Listener)

  /** Rows that tasks have dealt with; none when the cluster does not say. */
  def rows: Option[Long] = {
    val counter = StageCounter.ROWS.counterName
    Try(flows.asScala.toSeq.map(_.getFlowStats.getCounterValue(StageCounter.GROUP, counter)).sum).toOption
  }

  private object Listener extends FlowListener {
    override def onStarting(flow: Flow[_]): Unit = flows.add(flow): Unit

    override def onStopping(flow: Flow[_]): Unit = flows.remove(flow): Unit

    override def onCompleted(flow: Flow[_]): Unit = flows.remove(flow): Unit

    override def onThrowable(flow: Flow[_], failure: Throwable): Boolean = {
      flows.remove(flow)
      // Somebody else deals with it.
      false
    }
  }
}
