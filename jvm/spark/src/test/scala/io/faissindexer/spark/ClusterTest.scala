package io.faissindexer.spark

import java.nio.file.{Files, Path}
import java.security.PrivilegedAction

import scala.collection.JavaConverters._

import io.faissindexer.{FaissIndexException, IndexReceipt, IndexSpec, ReferenceBuild, StockFaiss}
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.hadoop.fs.permission.FsPermission
import org.apache.hadoop.hdfs.MiniDFSCluster
import org.apache.hadoop.security.UserGroupInformation
import org.apache.spark.scheduler._
import org.apache.spark.sql.{DataFrame, Dataset, SparkSession}
import org.apache.spark.sql.functions._
import org.junit.Assert._
import org.junit.Test

/** Executors with JVMs of their own, and an HDFS with two DataNodes. */
class ClusterTest {
  import ClusterTest._

  private def build(name: String, dataset: Dataset[_]): IndexReceipt = FaissIndexer.build(dataset, Spec, s"/$name")

  private def assertFinished(name: String): Unit = {
    val names = hdfs.listStatus(new HadoopPath(s"/$name")).map(_.getPath.getName).sorted.toSeq
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), names)
  }

  private def sabotaged(harm: Sabotage.Harm): (DataFrame, Path) = {
    val marker = LocalSpark.directory().resolve("harm was done")
    val fatalId = Rows.id(Rows.rows / 2)
    val harmful = udf(Sabotage.whileEncoding(marker.toString, fatalId, harm))
    (Tables.of(session, Rows, 4, 0).withColumn("entityId", harmful(col("entityId"))), marker)
  }

  @Test def stockFaissReadsWhatExecutorsWroteToHdfs(): Unit = {
    val receipt = build("plain", Tables.of(session, Rows, 5, 3))
    assertTrue(receipt.index(), receipt.index().startsWith("hdfs://"))
    assertEquals(ReferenceBuild.CRC32C, receipt.crc32c())
    assertFinished("plain")
    val local = LocalSpark.directory().resolve("faiss.index")
    hdfs.copyToLocalFile(new HadoopPath(receipt.index()), new HadoopPath(local.toString))
    StockFaiss.versions().asScala.foreach(_.assertHolds(local, Rows, false))
  }

  @Test def shardsAreMergedInTasksOfTheirOwnAndMeasuredTogether(): Unit = {
    val spec = IndexSpec.builder().factoryString("HNSW8").shards(2).build()
    val receipt = FaissIndexer.build(Tables.of(session, Rows, 3, 1), spec, "/sharded")
    val local = LocalSpark.directory().resolve("out")
    val expected = io.faissindexer.FaissIndexer.build(Rows.partitions(1, 0), spec, local.toString)
    assertEquals(expected.crc32c(), receipt.crc32c())
    assertNotEquals("shards are equal", receipt.crc32c().split(',')(0), receipt.crc32c().split(',')(1))
    val names = hdfs.listStatus(new HadoopPath("/sharded")).map(_.getPath.getName).sorted.toSeq
    assertEquals(Seq("_SUCCESS", "faiss.manifest.json", "report.html", "shard_0", "shard_1"), names)
    val copied = LocalSpark.directory().resolve("sharded")
    hdfs.copyToLocalFile(new HadoopPath("/sharded"), new HadoopPath(copied.toString))
    assertEquals(recall(local), recall(copied))
    assertTrue("recall was measured", recall(copied).nonEmpty)
    StockFaiss.versions().asScala.foreach(_.assertHolds(copied, Rows, true))
  }

  private def recall(output: Path): Seq[String] =
    Files.readAllLines(output.resolve("faiss.manifest.json")).asScala.filter(_.contains("\"share\"")).toSeq

  @Test def aTaskThatFailsOnceChangesNothing(): Unit = {
    val (dataset, marker) = sabotaged(Sabotage.FailTask)
    assertEquals(ReferenceBuild.CRC32C, build("failed", dataset).crc32c())
    assertTrue(Files.exists(marker))
    assertFinished("failed")
  }

  @Test def anExecutorThatIsKilledWhileItEncodesChangesNothing(): Unit = {
    @volatile var lost = 0
    session.sparkContext.addSparkListener(new SparkListener {
      override def onExecutorRemoved(event: SparkListenerExecutorRemoved): Unit = lost += 1
    })
    val (dataset, marker) = sabotaged(Sabotage.KillProcess)
    assertEquals(ReferenceBuild.CRC32C, build("killed", dataset).crc32c())
    assertTrue(Files.exists(marker))
    assertEquals("executors lost", 1, lost)
    assertFinished("killed")
  }

  @Test def rowsThatAreReadFromHdfsGiveTheSameBytes(): Unit = {
    Tables.of(session, Rows, 3, 5).write.parquet("/rows")
    val arguments = Array("--input", "/rows", "--output", "/from-parquet", "--factory-string", Family)
    assertEquals(0, IndexBuilderApp.run(arguments))
    assertFinished("from-parquet")
    val status = hdfs.getFileChecksum(new HadoopPath("/from-parquet/faiss.index"))
    build("again", Tables.of(session, Rows, 1, 0))
    assertEquals(hdfs.getFileChecksum(new HadoopPath("/again/faiss.index")), status)
  }

  @Test def aDirectoryThatTheUserMayNotWriteIsNamedBeforeAnyRowIsRead(): Unit = {
    hdfs.mkdirs(new HadoopPath("/closed"), new FsPermission("555"))
    hdfs.setPermission(new HadoopPath("/closed"), new FsPermission("555"))
    val rows = Tables.of(session, Rows, 2, 0)
    val failure = UserGroupInformation
      .createRemoteUser("stranger")
      .doAs(new PrivilegedAction[FaissIndexException] {
        override def run(): FaissIndexException =
          assertThrows(classOf[FaissIndexException], () => build("closed", rows): Unit)
      })
    assertEquals(failure.getMessage, FaissIndexException.Kind.PERMISSION_DENIED, failure.kind())
    assertTrue(failure.getMessage, failure.getMessage.contains("/closed"))
    assertEquals(0, hdfs.listStatus(new HadoopPath("/closed")).length)
  }

  @Test def aFinishedIndexInHdfsIsReplacedOnlyWhenAskedFor(): Unit = {
    val rows = Tables.of(session, Rows, 2, 0)
    build("twice", rows)
    assertThrows(classOf[FaissIndexException], () => build("twice", rows): Unit)
    val receipt = FaissIndexer.build(rows, Spec.toBuilder.overwrite(true).build(), "/twice")
    assertEquals(ReferenceBuild.CRC32C, receipt.crc32c())
    assertFinished("twice")
  }
}

object ClusterTest {
  private val Rows = ReferenceBuild.ROWS
  private val Family = ReferenceBuild.FACTORY_STRING
  private val Spec = IndexSpec.builder().factoryString(Family).build()

  private lazy val hdfs: FileSystem = {
    val configuration = new Configuration()
    configuration.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, LocalSpark.directory().toString)
    val cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(2).build()
    cluster.waitActive()
    cluster.getFileSystem
  }

  private lazy val session: SparkSession = SparkSession
    .builder()
    .master("local-cluster[2,1,1024]")
    .config("spark.ui.enabled", "false")
    .config("spark.hadoop.fs.defaultFS", hdfs.getUri.toString)
    .config("spark.executor.extraClassPath", System.getProperty("faissindexer.test.classes"))
    .getOrCreate()
}
