package io.faissindexer.scalding

import java.io.IOException
import java.util.UUID

import cascading.flow.FlowDef
import cascading.operation.Function
import cascading.pipe.Each
import cascading.tuple.Fields
import com.twitter.scalding.{Config, Execution, HadoopMode, TupleConverter, TupleSetter, TypedPipe}
import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import io.faissindexer.hadoop.{HadoopFileSystemHook, HadoopFiles}
import io.faissindexer.hadoop.tasks.{OutcomeBytes, StageFile}
import io.faissindexer.stages.{PartitionStage, RowlessStage, StageOutcome}
import io.faissindexer.storage.FileSystemHook
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

/**
 * Tasks of Hadoop's. A Cascading Function at the end of the pipe keeps the stage open from the first row of a task to
 * the last and hands on one outcome. Outcomes go through a temporary file of Scalding's, so those of attempts that
 * Hadoop has not committed never arrive.
 */
private[scalding] final class HadoopTasks private (configuration: Configuration, override val outputDirectory: String)
    extends StageTasks {
  import HadoopTasks._

  override val files: FileSystemHook.Factory = new HadoopFiles(configuration)

  override def onEveryPartition[T](
      rows: TypedPipe[T],
      reader: EmbeddingReader[T],
      stage: PartitionStage): Execution[Iterable[StageOutcome]] =
    withStage(stage)(file => throughFunction(rows, new PartitionFunction(file, reader)))

  override def inTasks(number: Int, stage: RowlessStage): Execution[Iterable[StageOutcome]] = {
    // Every number goes to a reducer of its own.
    val numbers = TypedPipe.from(0 until number).groupBy(identity).withReducers(number).forceToReducers.values
    withStage(stage)(file => throughFunction(numbers, new RowlessFunction(file)))
  }

  /** The stage is in a file while tasks may want it. */
  private def withStage[A](stage: java.io.Serializable)(use: String => Execution[A]): Execution[A] =
    Execution.from(written(stage)).flatMap { file =>
      Execution.withConfig(use(file.toString))(withTokensFor(file)).liftToTry.flatMap { result =>
        Execution.from(file.getFileSystem(configuration).delete(file, false)).flatMap(_ => Execution.fromTry(result))
      }
    }

  /** Beside the temporary files of the build, with which it goes if nobody else deletes it. */
  private def written(stage: java.io.Serializable): Path = {
    val file = new Path(s"$outputDirectory/_temporary/stage-${UUID.randomUUID()}")
    StageFile.write(stage, file, configuration)
    file
  }

  /** Jobs get delegation tokens for the file systems that they are told of. */
  private def withTokensFor(file: Path)(config: Config): Config = {
    val servers = config.get(TokenServers).filter(_.nonEmpty).toSeq :+ file.getFileSystem(configuration).getUri.toString
    config + (TokenServers -> servers.mkString(","))
  }
}

private[scalding] object HadoopTasks {
  private val TokenServers = "mapreduce.job.hdfs-servers"
  private val Row = new Fields("row")

  /** What the Functions hand on. */
  val Outcome: Fields = new Fields("outcome")

  def of(config: Config, mode: HadoopMode, outputDirectory: String): HadoopTasks = {
    val configuration = new Configuration(mode.jobConf)
    config.toMap.foreach { case (key, value) => configuration.set(key, value) }
    new HadoopTasks(configuration, qualified(outputDirectory, configuration))
  }

  private def qualified(outputDirectory: String, configuration: Configuration): String =
    try HadoopFileSystemHook.qualify(outputDirectory, configuration)
    catch {
      case unusable: IOException =>
        val message = s"the output directory '$outputDirectory' cannot be used: ${unusable.getMessage}"
        throw new FaissIndexException(Kind.INVALID_SPEC, message, unusable)
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
