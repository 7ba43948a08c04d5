package io.faissindexer.scalding

import java.time.{Instant, ZoneOffset}
import java.time.format.DateTimeFormatter
import java.util.TimeZone

import scala.collection.mutable
import scala.util.control.NonFatal

import com.twitter.scalding.{DateParser, DateRange}
import io.faissindexer.{CommandLine, FaissIndexException}
import io.faissindexer.FaissIndexException.Kind

/** What the program is asked for, in its own flags or in those of the jobs before it. */
private[scalding] final case class BuildRequest(line: CommandLine, embeddingLimit: Option[Int])

private[scalding] object BuildRequest {
  private val OlderNames =
    Map("num-dimensions" -> "dimension", "output-dir" -> "output", "training-sample-rate" -> "sample-rate")
  private val Output = "output"
  private val Limit = "embedding-limit"
  private val Dates = "embedding-date-range"
  private val Zone = "UTC"
  private val Day = DateTimeFormatter.ofPattern("yyyy/MM/dd")

  /** What there is beside the flags of every program. */
  val Help: String =
    """
      |Flags of this program alone:
      |  --embedding-limit N                    build of N rows, whichever come first
      |  --embedding-date-range DATE [DATE]     write to yyyy/MM/dd of the last day, in UTC, below the output directory
      |  --hdfs                                 run on the cluster that Hadoop's configuration names; without it too
      |  --local                                run on this machine, in this process
      |Also understood: --num-dimensions, --output-dir, --training-sample-rate.
      |Hadoop's own options, such as -D key=value, come before the flags.
      |""".stripMargin

  /**
   * Reads arguments; a flag may be given more than once, each time with more values.
   *
   * @throws io.faissindexer.FaissIndexException of kind INVALID_SPEC for arguments that make no sense
   */
  def parse(arguments: Seq[String]): BuildRequest = {
    val (flags, stray) = byFlag(arguments)
    val limit = flags.remove(Limit).map(values => positive(Limit, single(Limit, values)))
    val day = flags.remove(Dates).map(lastDay)
    for (directory <- flags.get(Output); end <- day)
      flags(Output) = directory.map(path => s"${path.stripSuffix("/")}/$end")
    BuildRequest(CommandLine.parse(stray ++ spelledOut(flags): _*), limit)
  }

  /** The arguments with every flag named once, before all of its values. */
  def regrouped(arguments: Seq[String]): Seq[String] = {
    val (flags, stray) = byFlag(arguments)
    stray ++ spelledOut(flags)
  }

  private def spelledOut(flags: mutable.LinkedHashMap[String, Seq[String]]): Seq[String] =
    flags.toSeq.flatMap { case (flag, values) => s"--$flag" +: values }

  private def byFlag(arguments: Seq[String]): (mutable.LinkedHashMap[String, Seq[String]], Seq[String]) = {
    val flags = mutable.LinkedHashMap.empty[String, Seq[String]]
    val stray = mutable.Buffer.empty[String]
    var current = Option.empty[String]
    def add(value: String): Unit = current match {
      case Some(flag) => flags(flag) = flags(flag) :+ value
      case None => stray += value
    }
    arguments.foreach { argument =>
      if (argument.startsWith("--")) {
        val (name, value) = argument.drop(2).span(_ != '=')
        val spelled = name.replace('_', '-')
        val flag = OlderNames.getOrElse(spelled, spelled)
        flags.getOrElseUpdate(flag, Nil)
        current = Some(flag)
        if (value.nonEmpty) add(value.drop(1))
      } else add(argument)
    }
    (flags, stray)
  }

  private def lastDay(dates: Seq[String]): String =
    try {
      val range = DateRange.parse(dates)(TimeZone.getTimeZone(Zone), DateParser.default)
      Day.format(Instant.ofEpochMilli(range.end.timestamp).atZone(ZoneOffset.UTC))
    } catch {
      case NonFatal(malformed) =>
        throw invalid(s"--$Dates '${dates.mkString(" ")}' is not one day or two: ${malformed.getMessage}")
    }

  private def single(flag: String, values: Seq[String]): String = values match {
    case Seq(value) => value
    case _ => throw invalid(s"--$flag has ${values.size} values instead of one")
  }

  private def positive(flag: String, value: String): Int =
    try {
      val number = value.toInt
      if (number > 0) number else throw new NumberFormatException
    } catch {
      case _: NumberFormatException => throw invalid(s"--$flag '$value' is not a whole number above 0")
    }

  private def invalid(message: String): FaissIndexException = new FaissIndexException(Kind.INVALID_SPEC, message)
}
