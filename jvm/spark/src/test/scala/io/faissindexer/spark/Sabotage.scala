package io.faissindexer.spark

import java.lang.management.ManagementFactory
import java.nio.file.{FileAlreadyExistsException, Files, Paths}

import org.apache.spark.TaskContext
import org.apache.spark.scheduler._

/** Harm that is done once, at a known place of a build. */
object Sabotage {

  /** Passes an id on; the first task that encodes a row with the fatal id meets the harm. */
  def whileEncoding(marker: String, fatalId: Long, harm: Harm): Long => Long = id => {
    if (id == fatalId && isEncoding && isFirst(marker)) harm.strike()
    id
  }

  sealed trait Harm extends Serializable {
    def strike(): Unit
  }

  case object KillProcess extends Harm {
    override def strike(): Unit = {
      val process = ManagementFactory.getRuntimeMXBean.getName.takeWhile(_ != '@')
      new ProcessBuilder("kill", "-9", process).start().waitFor()
      Thread.sleep(60000)
    }
  }

  case object FailTask extends Harm {
    override def strike(): Unit = throw new IllegalStateException("sabotage")
  }

  private def isEncoding: Boolean =
    Option(TaskContext.get()).exists(_.getLocalProperty("spark.job.description").contains("encode"))

  private def isFirst(marker: String): Boolean =
    try {
      Files.createFile(Paths.get(marker))
      true
    } catch {
      case _: FileAlreadyExistsException => false
    }
}

/** Kills a driver as soon as a task encodes. */
class KillsDriverThatEncodes extends SparkListener {
  private var encoding = Set.empty[Int]

  override def onStageSubmitted(event: SparkListenerStageSubmitted): Unit =
    if (event.stageInfo.name.contains("encode")) encoding += event.stageInfo.stageId

  override def onTaskStart(event: SparkListenerTaskStart): Unit =
    if (encoding(event.stageId)) Sabotage.KillProcess.strike()
}
