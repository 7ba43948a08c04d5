package io.faissindexer.scalding

import java.io.IOException
import java.util.UUID

import scala.collection.JavaConverters._
import scala.util.Try

import cascading.flow.FlowDef
import cascading.operation.Function
import cascading.pipe.Each
import cascading.tuple.Fields
import com.twitter.scalding.{Config, Execution, HadoopMode, TupleConverter, TupleSetter, TypedPipe}
import io.faissindexer.{IndexSpec, SpecKey}
import io.faissindexer.hadoop.{HadoopFileSystemHook, HadoopFiles, TaskContainer, TaskKind}
import io.faissindexer.hadoop.tasks.{OutcomeBytes, StageFile}
import io.faissindexer.stages.{PartitionStage, RowlessStage, StageOutcome}
import io.faissindexer.storage.FileSystemHook
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path
import org.apache.hadoop.mapreduce.{MRConfig, MRJobConfig}

/**
 * Tasks of Hadoop's. A Cascading Function at the end of the pipe keeps the stage open from the first row of a task to
 * the last and hands on one outcome. Outcomes go through a temporary file of Scalding's, so those of attempts that
 * Hadoop has not committed never arrive.
 */
private[scalding] final class HadoopTasks private (
    configuration: Configuration,
    statedThreads: Int,
    override val outputDirectory: String,
    say: String => Unit)
    extends StageTasks {
  import HadoopTasks._

  override val files: FileSystemHook.Factory = new HadoopFiles(configuration)

  override def threads: Int = TaskKind.values.map(_.coresIn(configuration)).max

  override def onEveryPartition[T](
      name: String,
      rows: TypedPipe[T],
      reader: EmbeddingReader[T],
      stage: PartitionStage): Execution[Iterable[StageOutcome]] =
    // Rows may come out of a shuffle, and then reducers have them.
    withStage(name, stage, containers(name, stage.nativeMemory(threads), TaskKind.values: _*)) { file =>
      throughFunction(rows, new PartitionFunction(file, reader))
    }

  override def inTasks(name: String, number: Int, stage: RowlessStage): Execution[Iterable[StageOutcome]] = {
    // Every number goes to a reducer of its own.
    val numbers = TypedPipe.from(0 until number).groupBy(identity).withReducers(number).forceToReducers.values
    val settings = containers(name, stage.nativeMemory(threads), TaskKind.REDUCE)
    // A second attempt beside the first would do the same work for nothing.
    withStage(name, stage, settings + (MRJobConfig.REDUCE_SPECULATIVE -> "false")) { file =>
      throughFunction(numbers, new RowlessFunction(file))
    }
  }

  /** What YARN is asked for each task, of which native code takes some outside the heap. */
  private def containers(name: String, nativeBytes: Long, kinds: TaskKind*): Map[String, String] =
    if (runsLocally) Map.empty
    else
      kinds.flatMap { kind =>
        val container = new TaskContainer(kind, configuration, name, nativeBytes, statedThreads)
        container.announcements().asScala.foreach(say)
        container.settings().asScala
      }.toMap

  private def runsLocally: Boolean = configuration.get(MRConfig.FRAMEWORK_NAME, Local) == Local

  /** The stage is in a file while tasks may want it. Its name is that of the jobs. */
  private def withStage[A](name: String, stage: java.io.Serializable, settings: Map[String, String])(
      use: String => Execution[A]): Execution[A] =
    Execution.from(written(stage)).flatMap { file =>
      val ofStage = (config: Config) => {
        val jobs = config.getCascadingAppName.toSeq :+ name
        withTokensFor(file)(settings.foldLeft(config.setCascadingAppName(jobs.mkString(": ")))(_ + _))
      }
      Execution.withConfig(use(file.toString))(ofStage).liftToTry.flatMap { result =>
        Execution.from(delete(file)).flatMap(_ => Execution.fromTry(result))
      }
    }

  /** Beside the temporary files of the build, with which it goes if nobody else deletes it. */
  private def written(stage: java.io.Serializable): Path = {
    val file = new Path(s"$outputDirectory/_temporary/stage-${UUID.randomUUID()}")
    StageFile.write(stage, file, configuration)
    file
  }

  /** What a stage has come to does not depend on this. */
  private def delete(file: Path): Unit =
    try file.getFileSystem(configuration).delete(file, false): Unit
    catch { case failure: IOException => say(s"warning: $file cannot be deleted: ${failure.getMessage}") }

  /** Jobs get delegation tokens for the file systems that they are told of. */
  private def withTokensFor(file: Path)(config: Config): Config = {
    val servers = config.get(TokenServers).filter(_.nonEmpty).toSeq :+ file.getFileSystem(configuration).getUri.toString
    config + (TokenServers -> servers.mkString(","))
  }
}

private[scalding] object HadoopTasks {
  private val TokenServers = "mapreduce.job.hdfs-servers"
  private val Row = new Fields("row")
  private val Local = MRConfig.LOCAL_FRAMEWORK_NAME

  /** What the Functions hand on. */
  val Outcome: Fields = new Fields("outcome")

  def of(
      config: Config,
      mode: HadoopMode,
      spec: IndexSpec,
      outputDirectory: String,
      say: String => Unit): HadoopTasks = {
    val hadoop = configuration(config, mode)
    // What is no number, the check of the spec refuses.
    val threads = Option(spec.values().get(SpecKey.THREADS.key())).flatMap(text => Try(text.trim.toInt).toOption)
    new HadoopTasks(hadoop, threads.getOrElse(0), HadoopFileSystemHook.qualifyOutput(outputDirectory, hadoop), say)
  }

  /** What Hadoop is to know, the settings of the Execution among it. */
  def configuration(config: Config, mode: HadoopMode): Configuration = {
    val configuration = new Configuration(mode.jobConf)
    // Who has set a value is known as long as it is left alone.
    config.toMap.foreach { case (key, value) => if (configuration.getRaw(key) != value) configuration.set(key, value) }
    configuration
  }

  /** Runs a Function over rows in the tasks that have them. */
  private def throughFunction[T](rows: TypedPipe[T], function: Function[_]): Execution[Iterable[StageOutcome]] =
    Execution.getConfigMode.flatMap { case (_, mode) =>
      val flow = new FlowDef
      val pipe = rows.toPipe[T](Row)(flow, mode, TupleSetter.singleSetter[T])
      val outcomes = new Each(pipe, Row, function, Fields.RESULTS)
      TypedPipe
        .from[Array[Byte]](outcomes, Outcome)(flow, mode, TupleConverter.singleConverter[Array[Byte]])
        .toIterableExecution
        .map(_.map(bytes => OutcomeBytes.read(bytes, bytes.length)))
    }
}
