package io.faissindexer.spark

import java.io.IOException

import scala.util.control.NonFatal

import io.faissindexer.{CommandLine, FaissIndexException, IndexReceipt}
import io.faissindexer.FaissIndexException.Kind
import io.faissindexer.stages.IndexBuild
import org.apache.spark.sql.{AnalysisException, DataFrame, SparkSession}

/** The program for spark-submit: Parquet in, index out. */
object IndexBuilderApp {
  private val Program = "faiss-indexer-spark"

  def main(arguments: Array[String]): Unit = {
    val exitCode = run(arguments)
    if (exitCode != 0) sys.exit(exitCode)
  }

  /**
   * Runs the program and returns its exit code. The last line of stdout is the receipt as JSON; what goes on, and what
   * went wrong, is said on stderr.
   */
  def run(arguments: Array[String]): Int =
    try {
      val line = CommandLine.parse(arguments: _*)
      System.out.println(if (line.isHelp) CommandLine.help(Program) else build(line).json())
      0
    } catch {
      case failure: FaissIndexException =>
        say("error: " + failure.getMessage.linesIterator.mkString(" "))
        failure.exitCode()
      case NonFatal(failure) =>
        failure.printStackTrace()
        say("error: " + Failures.summary(failure))
        1
    }

  private def build(line: CommandLine): IndexReceipt = {
    val isOurs = SparkSession.getActiveSession.orElse(SparkSession.getDefaultSession).isEmpty
    val session = SparkSession.builder().appName(Program).getOrCreate()
    try {
      val dataset = read(session, line)
      val engine = new SparkEngine(
        session.sparkContext,
        EmbeddingRows.of(dataset, line.idColumn(), line.embeddingColumn()),
        line.inputs().toArray.mkString(", "),
        say)
      val build = new IndexBuild(engine, (note: String) => say(note))
      FaissIndexer.run(build, line.spec(), line.output(), session.sparkContext.hadoopConfiguration)
    } finally if (isOurs) session.stop()
  }

  private def read(session: SparkSession, line: CommandLine): DataFrame =
    try session.read.parquet(line.inputs().toArray(Array.empty[String]): _*)
    catch {
      case unreadable @ (_: AnalysisException | _: IOException) =>
        throw new FaissIndexException(Kind.INVALID_SPEC, s"--input: ${unreadable.getMessage}", unreadable)
    }

  private def say(line: String): Unit = System.err.println(s"$Program: $line")
}
