package io.faissindexer.scalding

import scala.collection.JavaConverters._
import scala.concurrent.Await
import scala.concurrent.ExecutionContext.Implicits.global
import scala.concurrent.duration._

import com.twitter.scalding.{Config, Execution, ExecutionCounters, Hdfs, StatKey}
import io.faissindexer.StockFaiss
import org.apache.hadoop.fs.{Path => HadoopPath}
import org.junit.Assert._
import org.junit.Test

/** Mode Hdfs on a YARN and an HDFS of this machine; tasks have JVMs of their own. */
class ClusterTest {
  import ClusterTest._
  import Rows._

  /** All rows are trained on, as always with so few, and sampled for it at once. */
  private val spec = Spec.toBuilder.dimension(16).sampleRate(1).report(false).build()
  private val directory = newDirectory()
  private val notes = new Notes(directory)

  private def run[T](execution: Execution[T], settings: (String, String)*): (T, ExecutionCounters) = {
    val configuration = cluster.configuration
    ((Notes.Directory -> directory.toString) +: settings).foreach { case (key, value) => configuration.set(key, value) }
    val config = Config.hadoopWithDefaults(configuration).setSerialization(Right(classOf[NotedKryo]))
    Await.result(execution.getCounters.run(config, Hdfs(true, configuration)), 25.minutes)
  }

  private def assertFinished(output: String): Unit = {
    val names = cluster.files.listStatus(new HadoopPath(output)).map(_.getPath.getName).sorted.toSeq
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names)
  }

  @Test def tasksWriteTheIndexToHdfsAndTheSubmitterSeesNoRow(): Unit = {
    val (receipt, counters) = run(FaissIndexer.build(pipe(5).shard(2), spec, AbstractFile("/plain")))
    assertEquals(expected, receipt.crc32c())
    assertEquals(s"${cluster.files.getUri}/plain/faiss.index", receipt.index())
    assertFinished("/plain")
    val places = notes.all
    assertTrue("tasks have read rows", places.nonEmpty)
    places.foreach(place => assertTrue(place, place.startsWith("container_")))
    assertTrue(counters.toString, counters(StatKey("rows", "faiss-indexer")) >= 2L * embeddings.rows)
    val local = newDirectory().resolve("faiss.index")
    cluster.files.copyToLocalFile(new HadoopPath(receipt.index()), new HadoopPath(local.toString))
    StockFaiss.versions().asScala.foreach(_.assertHolds(local, embeddings, false))
  }

  @Test def attemptsThatAreKilledSlowOrOvertakenChangeNothing(): Unit = {
    val build = FaissIndexer.of(pipe(2), EntityEmbeddings, "rows", spec, AbstractFile("/troubled"))
    val (receipt, counters) = run(
      build,
      "fs.hdfs.impl" -> classOf[TroubledHdfs].getName,
      "mapreduce.task.timeout" -> TaskTimeoutMillis.toString,
      "mapreduce.map.speculative" -> "true",
      "mapreduce.reduce.speculative" -> "true",
      "yarn.app.mapreduce.am.job.speculator.class" -> classOf[PatientSpeculator].getName)
    import TroubledHdfs._
    assertEquals(Seq(Killed, Slow, Patient, Beside), notes.all.filterNot(_.startsWith("container_")))
    assertEquals("only the killed attempt has failed", 1L, counters(StatKey("NUM_FAILED_MAPS", JobCounters)))
    assertEquals(expected, receipt.crc32c())
    assertFinished("/troubled")
  }
}

object ClusterTest {
  private val TaskTimeoutMillis = 15000
  private val JobCounters = "org.apache.hadoop.mapreduce.JobCounter"

  private def cluster: SmallCluster = SmallCluster.shared
}
