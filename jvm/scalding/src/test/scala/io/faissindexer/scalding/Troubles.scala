package io.faissindexer.scalding

import java.lang.management.ManagementFactory
import java.nio.file.{FileAlreadyExistsException, Files, Path, Paths}

import com.esotericsoftware.kryo.{Kryo, Serializer}
import com.esotericsoftware.kryo.io.{Input, Output}
import com.twitter.chill.config.{Config => ChillConfig}
import com.twitter.scalding.serialization.KryoHadoop
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FSDataOutputStream, Path => HadoopPath}
import org.apache.hadoop.fs.permission.FsPermission
import org.apache.hadoop.hdfs.DistributedFileSystem
import org.apache.hadoop.mapreduce.v2.api.records.TaskId
import org.apache.hadoop.mapreduce.v2.app.AppContext
import org.apache.hadoop.mapreduce.v2.app.job.event.{TaskEvent, TaskEventType}
import org.apache.hadoop.mapreduce.v2.app.job.event.TaskAttemptStatusUpdateEvent.TaskAttemptStatus
import org.apache.hadoop.mapreduce.v2.app.speculate.{Speculator, SpeculatorEvent}
import org.apache.hadoop.service.AbstractService
import org.apache.hadoop.util.Progressable

/** Notes that tasks leave for the test to see, in a directory of the machine that they share. */
final class Notes(directory: Path) {

  /** Whether nobody has noted this before. */
  def note(what: String): Boolean =
    try {
      Files.createFile(directory.resolve(what))
      true
    } catch { case _: FileAlreadyExistsException => false }

  def has(what: String): Boolean = Files.exists(directory.resolve(what))

  def all: Seq[String] = directory.toFile.list().toSeq.sorted
}

object Notes {
  val Directory = "faissindexer.test.notes"

  def in(directory: String): Notes = new Notes(Paths.get(directory))

  /** The container of YARN's that this process is, or that it is none. */
  def place: String = Option(System.getenv("CONTAINER_ID")).getOrElse("no container")
}

/** Serialises as Scalding does, and notes where embeddings are read back. */
final class NotedKryo(configuration: ChillConfig) extends KryoHadoop(configuration) {

  override def newKryo(): Kryo = {
    val kryo = super.newKryo()
    kryo.register(classOf[EntityEmbedding[_]], new NotedEmbeddings(configuration))
    kryo
  }
}

private final class NotedEmbeddings(configuration: ChillConfig) extends Serializer[EntityEmbedding[_]] {
  private var isNoted = false

  override def write(kryo: Kryo, output: Output, row: EntityEmbedding[_]): Unit = {
    kryo.writeClassAndObject(output, row.id)
    kryo.writeClassAndObject(output, row.embedding)
  }

  override def read(kryo: Kryo, input: Input, kind: Class[EntityEmbedding[_]]): EntityEmbedding[_] = {
    if (!isNoted) {
      isNoted = true
      Notes.in(configuration.get(Notes.Directory)).note(Notes.place)
    }
    EntityEmbedding(kryo.readClassAndObject(input), kryo.readClassAndObject(input).asInstanceOf[Array[Float]])
  }
}

/**
 * HDFS in which the native code of the tasks that encode meets trouble when it asks for its file. The first task is
 * killed. The second waits, longer than a task may be silent and until another attempt has begun beside it, which never
 * gets on.
 */
final class TroubledHdfs extends DistributedFileSystem {
  import TroubledHdfs._

  override def create(
      file: HadoopPath,
      permission: FsPermission,
      overwrite: Boolean,
      bufferSize: Int,
      replication: Short,
      blockSize: Long,
      progress: Progressable): FSDataOutputStream = {
    val stream = super.create(file, permission, overwrite, bufferSize, replication, blockSize, progress)
    if (file.getName.contains(EncodedRun)) meetTrouble(Notes.in(getConf.get(Notes.Directory)))
    stream
  }

  private def meetTrouble(notes: Notes): Unit =
    if (notes.note(Killed)) {
      val process = ManagementFactory.getRuntimeMXBean.getName.takeWhile(_ != '@')
      new ProcessBuilder("kill", "-9", process).start().waitFor()
      Thread.sleep(Long.MaxValue)
    } else if (notes.note(Slow)) {
      Thread.sleep(getConf.getLong("mapreduce.task.timeout", 0) * 3 / 2)
      assert(notes.note(Patient))
      while (!notes.has(Beside)) Thread.sleep(MillisBetweenLooks)
    } else {
      assert(notes.note(Beside), "there are three attempts")
      Thread.sleep(Long.MaxValue)
    }
}

object TroubledHdfs {
  val Killed = "1 killed"
  val Slow = "2 slow"
  val Patient = "3 slow for longer than a task may be silent"
  val Beside = "4 beside the slow one"
  private val EncodedRun = "-run-"
  private val MillisBetweenLooks = 100L
}

/** Has a second attempt made beside the slow one as soon as that has been silent for long enough. */
final class PatientSpeculator(configuration: Configuration, context: AppContext)
    extends AbstractService(classOf[PatientSpeculator].getName)
    with Speculator {
  private val notes = Notes.in(configuration.get(Notes.Directory))
  private var helped = Set.empty[TaskId]

  override def handle(event: SpeculatorEvent): Unit = Option(event.getReportedStatus).foreach(handleAttempt)

  override def handleAttempt(status: TaskAttemptStatus): Unit = synchronized {
    val task = status.id.getTaskId
    if (notes.has(TroubledHdfs.Patient) && !notes.has(TroubledHdfs.Beside) && !helped(task)) {
      helped += task
      context.getEventHandler.handle(new TaskEvent(task, TaskEventType.T_ADD_SPEC_ATTEMPT))
    }
  }
}
