package io.faissindexer.scalding

import scala.util.control.NonFatal

import com.twitter.scalding.{Config, Execution, ExecutionApp, Mode, TypedPipe}
import io.faissindexer.{CommandLine, FaissIndexException, IndexReceipt}
import io.faissindexer.mapreduce.input.EmbeddingRow
import org.apache.hadoop.fs.FileSystem

/** The program: files of embeddings in, index out, by Scalding on Hadoop. */
object IndexBuilderApp extends ExecutionApp {
  private val Program = "faiss-indexer-scalding"
  private val OnThisMachine =
    Array("-Dmapreduce.framework.name=local", s"-D${FileSystem.FS_DEFAULT_NAME_KEY}=file:///")
  private val TaskOptions = Seq("mapreduce.map.java.opts", "mapreduce.reduce.java.opts")
  private val OpenModules =
    Seq("java.lang", "java.lang.invoke", "java.util").map(name => s"--add-opens=java.base/$name=ALL-UNNAMED")
  private val Modes = Set("local", "hdfs")

  override def main(arguments: Array[String]): Unit = {
    val exitCode = run(arguments)
    // A flow that has failed may leave threads behind.
    sys.exit(exitCode)
  }

  /**
   * Runs the program and returns its exit code. The last line of stdout is the receipt as JSON; what goes on, and what
   * went wrong, is said on stderr.
   */
  def run(arguments: Array[String]): Int =
    try {
      // What makes no sense is refused before Hadoop is asked for anything.
      val request = BuildRequest.parse(builders(arguments))
      if (request.line.isHelp) System.out.print(CommandLine.help(Program) + BuildRequest.Help)
      else {
        val (hadoop, mode) = config(arguments)
        job.waitFor(hadoop, mode).get
      }
      0
    } catch {
      case failure: FaissIndexException =>
        say("error: " + failure.getMessage.split("\\s*\\R\\s*").mkString(" "))
        failure.exitCode()
      case NonFatal(failure) =>
        failure.printStackTrace()
        say("error: " + summary(failure))
        1
    }

  override def job: Execution[Unit] =
    Execution.getConfig
      .flatMap(config => build(BuildRequest.parse(config.getArgs.toList.filterNot(isMode))))
      .flatMap(receipt => Execution.from(System.out.println(receipt.json())))

  /** Everything runs through Hadoop's input formats; on one machine, so do the jobs. */
  override def config(arguments: Array[String]): (Config, Mode) = {
    val here = if (arguments.contains("--local")) OnThisMachine else Array.empty[String]
    val (hadoop, mode) = super.config(here ++ hadoops(arguments) ++ Array("--hdfs") ++ regrouped(arguments))
    (withOpenModules(hadoop).setCascadingAppJar(getClass), mode)
  }

  /** Kryo needs doors open in a Java of 9 or later; tasks are taken to have the Java of this process. */
  private def withOpenModules(config: Config): Config =
    if (System.getProperty("java.specification.version").startsWith("1.")) config
    else
      TaskOptions.foldLeft(config) { (options, key) =>
        options + (key -> (options.get(key).toSeq ++ OpenModules).mkString(" "))
      }

  private def build(request: BuildRequest): Execution[IndexReceipt] = {
    val line = request.line
    val inputs = line.inputs().toArray(Array.empty[String]).toSeq
    val files = TypedPipe.from(EmbeddingFiles(inputs, line.idColumn(), line.embeddingColumn()))
    val output = AbstractFile(line.output())
    def of[T](rows: TypedPipe[T], reader: EmbeddingReader[T]): Execution[IndexReceipt] =
      FaissIndexer.of(rows, reader, inputs.mkString(", "), line.spec(), output, say)
    request.embeddingLimit match {
      case None => of[EmbeddingRow](files, EmbeddingRows)
      // Which rows come first may differ from pass to pass, so they are kept.
      case Some(limit) => files.map(KeptRow.of).limit(limit).forceToDiskExecution.flatMap(of(_, KeptRows))
    }
  }

  private def builders(arguments: Array[String]): Seq[String] =
    ExecutionApp.extractUserHadoopArgs(arguments) match {
      case (_, builders) => builders.toArray.toSeq.filterNot(isMode)
    }

  private def hadoops(arguments: Array[String]): Array[String] = ExecutionApp.extractUserHadoopArgs(arguments)._1.toArray

  /** Scalding keeps the last of several flags of one name, so there is one of each. */
  private def regrouped(arguments: Array[String]): Array[String] =
    BuildRequest.regrouped(builders(arguments)).toArray

  private def isMode(argument: String): Boolean = argument.startsWith("--") && Modes(argument.drop(2))

  private def summary(failure: Throwable): String = {
    val root = Iterator.iterate(failure)(_.getCause).takeWhile(_ != null).toSeq.last
    Option(root.getMessage).filter(_.nonEmpty).getOrElse(root.toString).split('\n').head
  }

  private val say: String => Unit = line => System.err.println(s"$Program: $line")
}
