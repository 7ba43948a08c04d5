package io.faissindexer.scalding

import java.util.Locale
import java.util.concurrent.TimeUnit.NANOSECONDS

import org.slf4j.LoggerFactory

/**
 * Says how far a build is, every few seconds of a long stage.
 *
 * @param rows how many rows the tasks of the moment have dealt with, where somebody counts them
 */
private[scalding] final class StageProgress(
    val say: String => Unit,
    rows: () => Option[Long],
    millisBetweenLines: Long = StageProgress.MillisBetweenLines) {
  import StageProgress._

  /** Runs a stage. */
  def of[A](stage: String)(work: => A): A = {
    val begin = System.nanoTime()
    say(s"$stage: begun")
    val watch = new Thread(new Runnable { override def run(): Unit = repeat(stage, begin) }, s"faiss-indexer $stage")
    watch.setDaemon(true)
    watch.start()
    val result =
      try work
      finally {
        watch.interrupt()
        watch.join(MillisToEnd)
      }
    say(s"$stage: done, ${secondsSince(begin)} s")
    result
  }

  private def repeat(stage: String, begin: Long): Unit =
    try {
      while (true) {
        Thread.sleep(millisBetweenLines)
        val seconds = secondsSince(begin)
        val counted = rows().filter(_ > 0).map { number =>
          ", %,d rows, %,d rows/s".formatLocal(Locale.ROOT, number, number / seconds.max(1))
        }
        say(s"$stage: $seconds s${counted.getOrElse("")}")
      }
    } catch { case _: InterruptedException => () }
}

private[scalding] object StageProgress {
  private val MillisBetweenLines = 10000L
  /** A question to the cluster may take longer. */
  private val MillisToEnd = 1000L
  private val Logger = LoggerFactory.getLogger(classOf[FaissIndexer])

  /** For builds that are part of somebody's program. */
  val Logged: StageProgress = new StageProgress(line => Logger.info(line), () => None)

  private def secondsSince(begin: Long): Long = NANOSECONDS.toSeconds(System.nanoTime() - begin)
}
