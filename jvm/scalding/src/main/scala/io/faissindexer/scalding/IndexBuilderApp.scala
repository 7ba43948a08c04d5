package io.faissindexer.scalding

import java.io.IOException
import java.util.concurrent.{CountDownLatch, ForkJoinPool}
import java.util.concurrent.TimeUnit.SECONDS

import scala.concurrent.{Await, ExecutionContext}
import scala.concurrent.duration.Duration
import scala.util.control.NonFatal

import cascading.flow.FlowException
import com.twitter.scalding.{Args, Config, Execution, ExecutionApp, HadoopMode, Hdfs, Mode, TypedPipe}
import io.faissindexer.{CommandLine, FaissIndexException, IndexReceipt}
import io.faissindexer.FaissIndexException.Kind
import io.faissindexer.mapreduce.input.{EmbeddingInput, EmbeddingRow}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{CommonConfigurationKeysPublic, FileSystem}
import org.apache.hadoop.mapreduce.{MRConfig, MRJobConfig}
import org.apache.hadoop.mapreduce.util.ConfigUtil
import org.apache.hadoop.util.ShutdownHookManager

/** The program: files of embeddings in, index out, by Scalding on Hadoop. */
object IndexBuilderApp extends ExecutionApp {
  private val Program = "faiss-indexer-scalding"
  private val OnThisMachine =
    Map(MRConfig.FRAMEWORK_NAME -> MRConfig.LOCAL_FRAMEWORK_NAME, FileSystem.FS_DEFAULT_NAME_KEY -> "file:///")
  private val TaskThreads = Seq(MRJobConfig.MAP_CPU_VCORES, MRJobConfig.REDUCE_CPU_VCORES)
  /** Scalding deletes its temporary files when the process ends, and Hadoop must not close file systems before. */
  private val OpenToTheEnd = Map(CommonConfigurationKeysPublic.FS_AUTOMATIC_CLOSE_KEY -> "false")
  private val PollInterval = "cascading.flow.job.pollinginterval"
  private val MillisBetweenPolls = 200
  private val TaskOptions =
    Seq(MRJobConfig.MAP_JAVA_OPTS, MRJobConfig.REDUCE_JAVA_OPTS, MRJobConfig.MR_AM_COMMAND_OPTS)
  private val AnyTask = "mapred.child.java.opts"
  /** What Kryo, and Hadoop before 3.4, need of a Java of 9 or later; an earlier one passes over it. */
  private val OpenModules = "-XX:+IgnoreUnrecognizedVMOptions" +:
    Seq("java.lang", "java.lang.invoke", "java.util").map(name => s"--add-opens=java.base/$name=ALL-UNNAMED")
  private val SecondsToCleanUp = 60L
  @volatile private var isInterrupted = false
  private val Local = "--local"
  private val Cluster = "--hdfs"

  override def main(arguments: Array[String]): Unit = {
    val end = new CountDownLatch(1)
    val waiting = new Runnable {
      override def run(): Unit = {
        isInterrupted = true
        end.await(SecondsToCleanUp, SECONDS): Unit
      }
    }
    // An interrupt makes Cascading stop its flows; the build then deletes its files, which Hadoop has to wait for.
    ShutdownHookManager.get().addShutdownHook(waiting, FileSystem.SHUTDOWN_HOOK_PRIORITY + 1, SecondsToCleanUp, SECONDS)
    val exitCode =
      try run(arguments)
      finally end.countDown()
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
      val given = HadoopOptions.in(arguments.toSeq)
      val request = BuildRequest.parse(given.flags.filterNot(isMode))
      if (request.line.isHelp) System.out.print(CommandLine.help(Program) + BuildRequest.Help)
      else {
        if (given.flags.contains(Local) && given.flags.contains(Cluster))
          throw new FaissIndexException(Kind.INVALID_SPEC, s"$Local and $Cluster exclude each other")
        val (hadoop, mode) = config(arguments)
        requireMode(arguments, hadoop)
        waitFor(job, hadoop, mode)
      }
      0
    } catch {
      case NonFatal(_) if isInterrupted =>
        say("error: the build was interrupted")
        1
      case failure: FaissIndexException =>
        say("error: " + failure.getMessage.split("\\s*\\R\\s*").mkString(" "))
        failure.exitCode()
      case NonFatal(failure) =>
        val causes = Iterator.iterate(failure)(_.getCause).takeWhile(_ != null).toSeq
        // What happens to files, servers and jobs is no defect of the program, whose place would have to be known.
        val foreseen = causes.find(cause => cause.isInstanceOf[IOException] || cause.isInstanceOf[FlowException])
        if (foreseen.isEmpty) failure.printStackTrace()
        say("error: " + summary(foreseen.getOrElse(causes.last)))
        1
    }

  /** Scalding says what it will delete at the end of the process only after the result is there. */
  private def waitFor(execution: Execution[Unit], config: Config, mode: Mode): Unit = {
    val threads = new ForkJoinPool
    // At that end, it is too late to say so.
    val context = ExecutionContext.fromExecutor(threads, failure => if (!isInterrupted) failure.printStackTrace())
    try Await.result(execution.run(config, mode)(context), Duration.Inf)
    finally threads.awaitQuiescence(SecondsToCleanUp, SECONDS): Unit
  }

  override def job: Execution[Unit] =
    Execution.getConfigMode
      .flatMap { case (config, hadoop: HadoopMode) =>
        build(BuildRequest.parse(config.getArgs.toList), HadoopTasks.configuration(config, hadoop))
      }
      .flatMap(receipt => Execution.from(System.out.println(receipt.json())))

  /** Everything runs through Hadoop's input formats; on one machine, so do the jobs. */
  override def config(arguments: Array[String]): (Config, Mode) = {
    // Before anything is read that Hadoop has defaults for.
    ConfigUtil.loadResources()
    val given = HadoopOptions.in(arguments.toSeq)
    val here = if (given.flags.contains(Local)) OnThisMachine else Map.empty[String, String]
    val configuration = given.configuration(OpenToTheEnd ++ here)
    // Not as Scalding does it, which sets every value again: whether the user or the site has said it would be lost.
    val hadoop = Config.hadoopWithDefaults(configuration).setArgs(regrouped(given.flags))
    val tasks = if (runsHere(hadoop)) withThisMachine(hadoop, arguments) else withOpenModules(hadoop)
    (RunningFlows.noticed(tasks).setCascadingAppJar(getClass), Hdfs(strict = true, configuration))
  }

  private def runsHere(config: Config): Boolean =
    config.get(MRConfig.FRAMEWORK_NAME).forall(_ == MRConfig.LOCAL_FRAMEWORK_NAME)

  /** Tasks run one after another in this process, each with all CPUs, and nobody else is asked how they do. */
  private def withThisMachine(config: Config, arguments: Array[String]): Config = {
    val settings = (PollInterval -> MillisBetweenPolls) +: TaskThreads.map(_ -> Runtime.getRuntime.availableProcessors)
    settings.foldLeft(config) { case (all, (key, value)) =>
      if (arguments.exists(_.contains(key))) all else all + (key -> value.toString)
    }
  }

  private def requireMode(arguments: Array[String], config: Config): Unit =
    if (runsHere(config)) {
      val reason = s"Hadoop's configuration names no cluster: ${MRConfig.FRAMEWORK_NAME} is local"
      if (arguments.contains(Cluster))
        throw new FaissIndexException(
          Kind.INVALID_SPEC, s"$Cluster: $reason; HADOOP_CONF_DIR says where one is, and $Local does without")
      if (!arguments.contains(Local)) say(s"jobs run in this process, because $reason")
    }

  private def withOpenModules(config: Config): Config =
    TaskOptions.foldLeft(config) { (options, key) =>
      // The options of any task count only where there are none of the kind.
      val stated = options.get(key).orElse(if (key == MRJobConfig.MR_AM_COMMAND_OPTS) None else config.get(AnyTask))
      options + (key -> (stated.toSeq ++ OpenModules).mkString(" ").trim)
    }

  private def build(request: BuildRequest, configuration: Configuration): Execution[IndexReceipt] = {
    val line = request.line
    new EmbeddingInput(line.inputs(), configuration).requireReadable()
    val inputs = line.inputs().toArray(Array.empty[String]).toSeq
    val files = TypedPipe.from(EmbeddingFiles(inputs, line.idColumn(), line.embeddingColumn()))
    val output = AbstractFile(line.output())
    def of[T](rows: TypedPipe[T], reader: EmbeddingReader[T]): Execution[IndexReceipt] =
      FaissIndexer.of(rows, reader, inputs.mkString(", "), line.spec(), output, progress)
    request.embeddingLimit match {
      case None => of[EmbeddingRow](files, EmbeddingRows)
      // Which rows come first may differ from pass to pass, so they are kept.
      case Some(limit) => files.map(KeptRow.of).limit(limit).forceToDiskExecution.flatMap(of(_, KeptRows))
    }
  }

  /** Scalding keeps the last of several flags of one name, so there is one of each. */
  private def regrouped(flags: Seq[String]): Args = Args(BuildRequest.regrouped(flags.filterNot(isMode)))

  private def isMode(argument: String): Boolean = argument == Local || argument == Cluster

  private def summary(failure: Throwable): String =
    Option(failure.getMessage).filter(_.nonEmpty).getOrElse(failure.toString).split('\n').head

  private def progress: StageProgress = new StageProgress(say, () => RunningFlows.rows)

  private def say(line: String): Unit = System.err.println(s"$Program: $line")
}
