package io.faissindexer.spark

import java.nio.file.{Files, Path}
import java.util.concurrent.atomic.AtomicInteger

import scala.collection.mutable

import io.faissindexer.{Embeddings, FaissIndexException, IndexReceipt, IndexSpec}
import io.faissindexer.FaissIndexException.Kind
import org.apache.spark.ml.linalg.{Vector, Vectors}
import org.apache.spark.scheduler._
import org.apache.spark.sql.{DataFrame, Dataset}
import org.apache.spark.sql.functions._
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

class LocalSparkTest {
  import LocalSpark.session
  import LocalSparkTest._

  private def build(dataset: Dataset[_], spec: IndexSpec = Spec, output: Path = newOutput()): IndexReceipt =
    FaissIndexer.build(dataset, spec, output.toString)

  private def newOutput(): Path = LocalSpark.directory().resolve("out")

  private def assertFails(kind: Kind, message: String)(work: => Any): Unit = {
    val failure = assertThrows(classOf[FaissIndexException], new ThrowingRunnable { override def run(): Unit = work })
    assertTrue(failure.getMessage, failure.getMessage.contains(message))
    assertEquals(kind, failure.kind())
  }

  @Test def sparkGivesTheBytesOfTheCoreHoweverRowsAreDividedAndOrdered(): Unit = {
    val expected = io.faissindexer.FaissIndexer.build(Rows.partitions(1, 0), Spec, newOutput().toString).crc32c()
    for ((partitions, order, threads) <- Seq((1, 0L, 1), (3, 7L, 2), (8, 11L, 1))) {
      val spec = Spec.toBuilder.threads(threads).build()
      val rows = Tables.of(session, Rows, partitions, order)
      assertEquals(s"$partitions partitions", expected, build(rows, spec).crc32c())
    }
  }

  @Test def everyTypeOfColumnGivesTheSameIndex(): Unit = {
    val small = new Embeddings(300, 8)
    val numbered = Tables.rows(small).zipWithIndex.map { case (row, at) => Tables.Row(at.toLong, row.embedding) }
    val floats = Tables.of(session, numbered)
    val flat = IndexSpec.builder().factoryString("Flat").build()
    val expected = build(floats, flat).crc32c()
    val frame: DataFrame = floats.toDF()
    val toVector = udf((embedding: Seq[Float]) => Vectors.dense(embedding.map(_.toDouble).toArray): Vector)
    val toSparse = udf((embedding: Seq[Float]) => Vectors.dense(embedding.map(_.toDouble).toArray).toSparse: Vector)
    for ((name, other) <- Seq(
        "double" -> frame.withColumn("embedding", col("embedding").cast("array<double>")),
        "int ids" -> frame.withColumn("entityId", col("entityId").cast("int")),
        "short ids" -> frame.withColumn("entityId", col("entityId").cast("short")),
        "dense vectors" -> frame.withColumn("embedding", toVector(col("embedding"))),
        "sparse vectors" -> frame.withColumn("embedding", toSparse(col("embedding"))),
        "arrays that may hold nulls" -> frame.withColumn("embedding", array((0 until 8).map(at =>
          when(col("entityId") >= 0, col("embedding")(at))): _*))))
      assertEquals(name, expected, build(other, flat).crc32c())
  }

  @Test def columnsMayHaveOtherNames(): Unit = {
    val renamed = Tables.of(session, Rows, 2, 0).toDF("the id", "a.vector")
    val receipt = FaissIndexer.build(renamed, Spec, newOutput().toString, "the id", "a.vector")
    assertEquals(Rows.rows, receipt.rows())
  }

  @Test def nullsAreToldApartFromRows(): Unit = {
    val good = Tables.of(session, Rows, 2, 0).toDF()
    val odd = session.sql(
      """select cast(null as bigint) entityId, array(float(1)) embedding union all
        |select 5, null union all
        |select 6, array(float(1), null)""".stripMargin)
    assertFails(Kind.BAD_ROWS, "without an id")(build(good.union(odd)))
    val skipping = Spec.toBuilder.badRows("skip").build()
    assertEquals(build(good).crc32c(), build(good.union(odd), skipping).crc32c())
  }

  @Test def columnsThatCannotBeUsedAreRefusedByNameAndType(): Unit = {
    val good = Tables.of(session, Rows, 2, 0).toDF()
    assertFails(Kind.INVALID_SPEC, "no column 'id'; the columns are entityId, embedding") {
      FaissIndexer.build(good, Spec, newOutput().toString, idColumn = "id")
    }
    assertFails(Kind.INVALID_SPEC, "'entityId' is of type string") {
      build(good.withColumn("entityId", col("entityId").cast("string")))
    }
    assertFails(Kind.INVALID_SPEC, "'embedding' is of type array<int>") {
      build(good.withColumn("embedding", col("embedding").cast("array<int>")))
    }
    assertFails(Kind.INVALID_SPEC, "nowhere") {
      FaissIndexer.build(good, Spec, "nowhere://cluster/out")
    }
  }

  @Test def stagesHaveNamesAndTheirRowsBytesAndSecondsAreAccumulated(): Unit = {
    val completed = mutable.Buffer.empty[StageInfo]
    val listener = new SparkListener {
      override def onStageCompleted(event: SparkListenerStageCompleted): Unit =
        completed.synchronized(completed += event.stageInfo)
    }
    session.sparkContext.addSparkListener(listener)
    session.sparkContext.setJobDescription("the caller's own")
    build(Tables.of(session, Rows, 3, 0))
    assertEquals("the caller's own", session.sparkContext.getLocalProperty("spark.job.description"))
    session.sparkContext.setJobDescription(null)
    waitFor("the merge to be reported")(completed.synchronized(completed.exists(_.name == "faiss-indexer: merge")))
    session.sparkContext.removeSparkListener(listener)
    for (stage <- Seq("sample partitions", "train", "encode partitions", "merge"))
      assertTrue(stage, completed.exists(_.name == s"faiss-indexer: $stage"))
    val encode = completed.find(_.name == "faiss-indexer: encode partitions").get
    def accumulated(name: String): Any = encode.accumulables.values.find(_.name.contains(name)).flatMap(_.value).get
    assertEquals(Rows.rows.toLong, accumulated("faiss.rows"))
    assertTrue(accumulated("faiss.bytes").asInstanceOf[Long] > Rows.rows * 16)
    assertTrue(accumulated("faiss.seconds").asInstanceOf[Double] > 0)
  }

  @Test def aFinishedIndexIsRefusedBeforeAnyWork(): Unit = {
    val output = newOutput()
    val rows = Tables.of(session, Rows, 2, 0)
    val first = build(rows, Spec, output)
    val jobs = new AtomicInteger
    val listener = new SparkListener {
      override def onJobStart(event: SparkListenerJobStart): Unit = jobs.incrementAndGet()
    }
    session.sparkContext.addSparkListener(listener)
    assertFails(Kind.ALREADY_EXISTS, "_SUCCESS")(build(rows, Spec, output))
    // A plan with a shuffle runs its first stages as soon as somebody asks for its rows.
    assertFails(Kind.ALREADY_EXISTS, "_SUCCESS")(build(rows.repartition(3), Spec, output))
    Thread.sleep(500)
    session.sparkContext.removeSparkListener(listener)
    assertEquals("jobs started", 0, jobs.get)
    assertTrue(Files.exists(output.resolve("_SUCCESS")))
    assertEquals(first.crc32c(), build(rows, Spec.toBuilder.overwrite(true).build(), output).crc32c())
  }

  @Test def cancellingAJobEndsNativeTrainingWithinSeconds(): Unit = {
    val output = newOutput()
    val trainings = new TaskTimes("faiss-indexer: train")
    session.sparkContext.addSparkListener(trainings)
    val slow = IndexSpec.builder().factoryString("OPQ64,IVF1024,PQ64").sampleRate(1).threads(1).build()
    val rows = Tables.of(session, new Embeddings(45000, 128), 2, 0)
    @volatile var failure: Throwable = null
    val builder = new Thread(() => try build(rows, slow, output) catch { case thrown: Throwable => failure = thrown })
    builder.start()
    waitFor("training to begin")(trainings.started > 0)
    Thread.sleep(2000)
    assertTrue(s"training ended early: $failure", builder.isAlive)
    val cancelled = System.nanoTime()
    session.sparkContext.cancelAllJobs()
    waitFor("training to end")(trainings.ended > 0)
    val seconds = (System.nanoTime() - cancelled) / 1e9
    builder.join(20000)
    session.sparkContext.removeSparkListener(trainings)
    // Left alone, training takes minutes; ending takes a second, and the rest is for a busy machine.
    assertTrue(s"$seconds s", seconds < 30)
    assertNotNull("the build has failed", failure)
    assertFalse(Files.exists(output.resolve("_temporary")))
    assertFalse(Files.exists(output.resolve("_SUCCESS")))
  }
}

object LocalSparkTest {
  private val Rows = new Embeddings(3000, 16)
  private val Spec = IndexSpec.builder().factoryString("OPQ8,IVF16,PQ8np").build()

  def waitFor(what: String)(condition: => Boolean): Unit = {
    val limit = System.nanoTime() + 120L * 1000 * 1000 * 1000
    while (!condition) {
      assertTrue(s"waited in vain for $what", System.nanoTime() < limit)
      Thread.sleep(20)
    }
  }

  /** Counts the tasks of a stage by name. */
  private final class TaskTimes(stageName: String) extends SparkListener {
    @volatile private var stages = Set.empty[Int]
    @volatile var started = 0
    @volatile var ended = 0

    override def onStageSubmitted(event: SparkListenerStageSubmitted): Unit =
      if (event.stageInfo.name == stageName) stages += event.stageInfo.stageId

    override def onTaskStart(event: SparkListenerTaskStart): Unit = if (stages(event.stageId)) started += 1

    override def onTaskEnd(event: SparkListenerTaskEnd): Unit = if (stages(event.stageId)) ended += 1
  }
}
