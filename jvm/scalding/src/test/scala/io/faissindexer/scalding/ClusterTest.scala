package io.faissindexer.scalding

import java.lang.management.ManagementFactory
import java.nio.file.{FileAlreadyExistsException, Files, Path, Paths}

import scala.collection.JavaConverters._
import scala.concurrent.Await
import scala.concurrent.ExecutionContext.Implicits.global
import scala.concurrent.duration._

import com.twitter.scalding.{Config, Execution, ExecutionCounters, Hdfs, RuntimeStats, StatKey, TypedPipe, UniqueID}
import io.faissindexer.StockFaiss
import io.faissindexer.stages.RowSink
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.hadoop.hdfs.MiniDFSCluster
import org.apache.hadoop.mapreduce.v2.MiniMRYarnCluster
import org.junit.{AfterClass, BeforeClass, Test}
import org.junit.Assert._

/** Mode Hdfs on a YARN and an HDFS of this machine; tasks have JVMs of their own. */
class ClusterTest {
  import ClusterTest._
  import Rows._

  private val spec = Spec.toBuilder.dimension(16).report(false).build()

  private def assertFinished(output: String): Unit = {
    val names = files.listStatus(new HadoopPath(output)).map(_.getPath.getName).sorted.toSeq
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names)
  }

  @Test def tasksWriteTheIndexToHdfsAndStockFaissReadsIt(): Unit = {
    val seen = newDirectory()
    val execution = Execution.withId { id =>
      FaissIndexer.build(Sightings.noted(pipe(5).shard(2), seen.toString, id), spec, AbstractFile("/plain"))
    }
    val (receipt, counters) = run(execution)
    assertEquals(expected, receipt.crc32c())
    assertEquals(s"${files.getUri}/plain/faiss.index", receipt.index())
    assertFinished("/plain")
    val attempts = seen.toFile.list().toSeq
    assertTrue("there were tasks", attempts.nonEmpty)
    attempts.foreach { attempt =>
      assertFalse(attempt, attempt.startsWith("attempt_local"))
      assertFalse(attempt, attempt.endsWith(Sightings.process))
    }
    assertTrue(counters.get(StatKey("rows", "faiss-indexer")).exists(_ >= 2L * embeddings.rows))
    val local = newDirectory().resolve("faiss.index")
    files.copyToLocalFile(new HadoopPath(receipt.index()), new HadoopPath(local.toString))
    StockFaiss.versions().asScala.foreach(_.assertHolds(local, embeddings, false))
  }

  @Test def aTaskThatIsKilledAndOneThatIsSlowChangeNothing(): Unit = {
    // All rows are sampled at once, so that the second to read them is the one that encodes.
    val all = spec.toBuilder.sampleRate(1).build()
    val seen = newDirectory()
    val reader = new Troubled(seen.toString, embeddings.id(embeddings.rows / 2))
    val build = pipe(2).shard(2).forceToDiskExecution.flatMap { rows =>
      FaissIndexer.of(rows, reader, "rows in trouble", all, AbstractFile("/troubled"))
    }
    // A second attempt beside the slow one would meet no trouble.
    val alone = Seq("mapreduce.map.speculative" -> "false", "mapreduce.reduce.speculative" -> "false")
    val (receipt, _) = run(Execution.withConfig(build)(alone.foldLeft(_)(_ + _)))
    assertEquals(Seq("1 sampled", "2 killed", "3 slow"), seen.toFile.list().toSeq.sorted)
    val untroubled = io.faissindexer.FaissIndexer.build(embeddings.partitions(1, 0), all, newOutput())
    assertEquals(untroubled.crc32c(), receipt.crc32c())
    assertFinished("/troubled")
  }
}

object ClusterTest {
  private val TaskTimeoutMillis = 30000
  private val SlowMillis = 50000L

  private var storage: MiniDFSCluster = _
  private var cluster: MiniMRYarnCluster = _
  private var configuration: Configuration = _

  private def files: FileSystem = storage.getFileSystem

  @BeforeClass def start(): Unit = {
    val directory = Rows.newDirectory()
    val initial = new Configuration()
    initial.set("hadoop.tmp.dir", directory.resolve("tmp").toString)
    initial.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory.resolve("dfs").toString)
    storage = new MiniDFSCluster.Builder(initial).numDataNodes(1).build()
    storage.waitActive()
    initial.set("fs.defaultFS", files.getUri.toString)
    initial.set("yarn.nodemanager.resource.memory-mb", "6144")
    initial.set("yarn.scheduler.minimum-allocation-mb", "128")
    initial.set("yarn.nodemanager.vmem-check-enabled", "false")
    initial.set("yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage", "99.9")
    cluster = new MiniMRYarnCluster("faiss-indexer", 1)
    cluster.init(initial)
    cluster.start()
    configuration = jobs(new Configuration(cluster.getConfig), directory)
  }

  @AfterClass def stop(): Unit = {
    cluster.stop()
    storage.shutdown()
  }

  /** What a user's job brings along. */
  private def jobs(site: Configuration, directory: Path): Configuration = {
    val classPath = System.getProperty("faissindexer.test.classpath").replace(':', ',')
    val options = System.getProperty("faissindexer.test.openModules")
    for ((key, value) <- Seq(
        "mapreduce.framework.name" -> "yarn",
        "yarn.is.minicluster" -> "false",
        "yarn.application.classpath" -> classPath,
        "mapreduce.application.classpath" -> classPath,
        "mapreduce.map.java.opts" -> options,
        "mapreduce.reduce.java.opts" -> options,
        "yarn.app.mapreduce.am.resource.mb" -> "512",
        "yarn.app.mapreduce.am.command-opts" -> "-Xmx300m",
        "yarn.app.mapreduce.am.staging-dir" -> "/staging",
        "mapreduce.task.timeout" -> TaskTimeoutMillis.toString,
        "mapreduce.task.timeout.check-interval-ms" -> "1000",
        "mapreduce.client.completion.pollinterval" -> "200",
        "cascading.flow.job.pollinginterval" -> "200")) site.set(key, value)
    site
  }

  private def run[T](execution: Execution[T]): (T, ExecutionCounters) = {
    val config = Config.hadoopWithDefaults(configuration)
    Await.result(execution.getCounters.run(config, Hdfs(true, configuration)), 25.minutes)
  }

  /** What tasks leave for the test to see, in a directory of the machine that they share. */
  private object Sightings {
    def process: String = ManagementFactory.getRuntimeMXBean.getName

    /** Notes the attempts that compute a pipe, and their processes. */
    def noted[T](pipe: TypedPipe[T], directory: String, id: UniqueID): TypedPipe[T] =
      pipe.map { row =>
        val attempt = RuntimeStats.getFlowProcessForUniqueId(id).getProperty("mapreduce.task.attempt.id")
        note(Paths.get(directory), s"$attempt in $process")
        row
      }

    /** Whether nobody has noted this before. */
    def note(directory: Path, what: String): Boolean =
      try {
        Files.createFile(directory.resolve(what))
        true
      } catch { case _: FileAlreadyExistsException => false }
  }

  /** Meets one row when it is sampled, kills the task that encodes it, and keeps the next attempt waiting. */
  private final class Troubled(directory: String, fatalId: Long) extends EmbeddingReader[EntityEmbedding[Long]] {

    override def dimension(row: EntityEmbedding[Long]): Option[Int] = EntityEmbeddings.dimension(row)

    override def give(row: EntityEmbedding[Long], sink: RowSink): Unit = {
      if (row.id == fatalId) meetTrouble()
      EntityEmbeddings.give(row, sink)
    }

    private def meetTrouble(): Unit = {
      val seen = Paths.get(directory)
      if (!Sightings.note(seen, "1 sampled")) {
        if (Sightings.note(seen, "2 killed")) {
          new ProcessBuilder("kill", "-9", Sightings.process.takeWhile(_ != '@')).start().waitFor()
          Thread.sleep(SlowMillis)
        } else {
          assertTrue("a slow task is not killed", Sightings.note(seen, "3 slow"))
          Thread.sleep(SlowMillis)
        }
      }
    }
  }
}
