package io.faissindexer.scalding

import java.nio.file.{Files, Paths}

import scala.annotation.tailrec
import scala.util.control.NonFatal

import com.twitter.scalding.ExpandLibJarsGlobs
import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import org.apache.hadoop.conf.{Configuration, Configured}
import org.apache.hadoop.util.{Tool, ToolRunner}

/** The arguments of the program: Hadoop's own options, such as -D key=value, and the flags. */
private[scalding] final case class HadoopOptions(options: Seq[String], flags: Seq[String]) {
  import HadoopOptions._

  /**
   * Hadoop's configuration with the options, which knows of each value who has set it.
   *
   * @param settings that hold where no option says something else
   * @throws io.faissindexer.FaissIndexException of kind INVALID_SPEC when a file that is named cannot be used
   */
  def configuration(settings: Map[String, String]): Configuration = {
    options.sliding(2).foreach {
      // Hadoop would pass over it.
      case Seq(File, file) if !Files.isReadable(Paths.get(file)) => throw invalid(s"$File: $file cannot be read")
      case _ => ()
    }
    val configuration = new Configuration
    settings.foreach { case (key, value) => configuration.set(key, value) }
    val nothing = new Configured with Tool { override def run(rest: Array[String]): Int = 0 }
    try ToolRunner.run(configuration, nothing, ExpandLibJarsGlobs(options.toArray)): Unit
    catch {
      case NonFatal(unusable) =>
        val message = s"Hadoop's configuration cannot be used: ${unusable.getMessage}"
        throw new FaissIndexException(Kind.INVALID_SPEC, message, unusable)
    }
    configuration
  }
}

private[scalding] object HadoopOptions {
  private val Setting = "-D"
  private val File = "-conf"
  private val WithValue = Set(Setting, File, "-fs", "-jt", "-files", "-libjars", "-archives", "-tokenCacheFile")

  /**
   * Tells options and flags apart. Scalding's own way knows neither -D with a space behind it nor -conf.
   *
   * @throws io.faissindexer.FaissIndexException of kind INVALID_SPEC for an option without its value
   */
  def in(arguments: Seq[String]): HadoopOptions = {
    @tailrec def split(rest: List[String], options: Vector[String], flags: Vector[String]): HadoopOptions =
      rest match {
        case Setting :: setting :: more => split(more, options :+ requireValue(Setting + setting), flags)
        case option :: value :: more if WithValue(option) => split(more, options :+ option :+ value, flags)
        case option :: Nil if WithValue(option) => throw invalid(s"$option has no value")
        case setting :: more if setting.startsWith(Setting) => split(more, options :+ requireValue(setting), flags)
        case flag :: more => split(more, options, flags :+ flag)
        case Nil => HadoopOptions(options, flags)
      }
    split(arguments.toList, Vector.empty, Vector.empty)
  }

  /** Hadoop would pass over one without. */
  private def requireValue(setting: String): String =
    if (setting.contains('=')) setting else throw invalid(s"$setting is not of the form -D key=value")

  private def invalid(message: String): FaissIndexException = new FaissIndexException(Kind.INVALID_SPEC, message)
}
