package io.faissindexer.scalding

import java.nio.file.Paths

import scala.collection.JavaConverters._
import scala.concurrent.Await
import scala.concurrent.ExecutionContext.Implicits.global
import scala.concurrent.duration._

import com.twitter.scalding.{Config, Execution, ExecutionCounters, Hdfs, StatKey, TypedPipe}
import io.faissindexer.{FaissIndexException, StockFaiss}
import io.faissindexer.FaissIndexException.Kind
import org.apache.hadoop.conf.Configuration
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

/** Mode Hdfs with Hadoop's runner of jobs in this process. */
class HadoopTest extends BuildsInExecutions {
  import HadoopTest._
  import Rows._

  override protected def run[T](execution: Execution[T]): T = counted(execution)._1

  @Test def theBytesAreThoseOfTheCoreAndStockFaissReadsThem(): Unit = {
    val output = newOutput()
    val (receipt, counters) = counted(FaissIndexer.build(pipe(7).shard(3), Spec, AbstractFile(output)))
    assertEquals(expected, receipt.crc32c())
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), names(output))
    StockFaiss.versions().asScala.foreach(_.assertHolds(Paths.get(output, "faiss.index"), embeddings, false))
    assertTrue("sampled and encoded", counter(counters, "rows") >= 2L * embeddings.rows)
    assertTrue(counter(counters, "bytes") > 2L * embeddings.rows * 16 * 4)
  }

  @Test def pipesThatEndInAReducerAreEncodedThere(): Unit = {
    val grouped = pipe(3).groupBy(_.id % 4).withReducers(2).mapValues(identity).values
    assertEquals(expected, run(FaissIndexer.build(grouped, Spec, AbstractFile(newOutput()))).crc32c())
  }

  @Test def aFailedBuildSaysWhyAndLeavesNothing(): Unit = {
    val output = newOutput()
    val odd = pipe() ++ TypedPipe.from(Seq(EntityEmbedding(2L, null: Array[Float])))
    val spec = Spec.toBuilder.dimension(16).build()
    val failure = assertThrows(
      classOf[FaissIndexException],
      new ThrowingRunnable {
        override def run(): Unit = { HadoopTest.this.run(FaissIndexer.build(odd, spec, AbstractFile(output))); () }
      })
    assertEquals(failure.getMessage, Kind.BAD_ROWS, failure.kind())
    assertEquals(Nil, names(output))
  }

  @Test def rowsThatAreSkippedAreCountedByKindInBothStagesThatReadThem(): Unit = {
    val odd = Seq(EntityEmbedding(2L, null: Array[Float]), EntityEmbedding(4L, Array(1f))) ++
      Seq.fill(3)(EntityEmbedding(6L, Array.fill(16)(Float.NaN)))
    val spec = Spec.toBuilder.dimension(16).sampleRate(1).badRows("skip").build()
    val (receipt, counters) =
      counted(FaissIndexer.build(pipe(7).shard(3) ++ TypedPipe.from(odd), spec, AbstractFile(newOutput())))
    assertEquals(embeddings.rows.toLong, receipt.rows())
    assertEquals(2L, counter(counters, "bad rows without an embedding"))
    assertEquals(2L, counter(counters, "bad rows of the wrong dimension"))
    assertEquals(6L, counter(counters, "bad rows with NaN or an infinite number"))
  }

  @Test def aPipeWithoutRowsIsRefused(): Unit = {
    val output = newOutput()
    for (spec <- Seq(Spec, Spec.toBuilder.dimension(16).build())) {
      val failure = assertThrows(
        classOf[FaissIndexException],
        new ThrowingRunnable {
          override def run(): Unit = {
            HadoopTest.this.run(FaissIndexer.build(pipe().filter(_ => false), spec, AbstractFile(output)))
            ()
          }
        })
      assertEquals(failure.getMessage, Kind.TOO_FEW_ROWS, failure.kind())
      assertEquals(Nil, names(output))
    }
  }
}

object HadoopTest {

  private def counted[T](execution: Execution[T]): (T, ExecutionCounters) = {
    val configuration = new Configuration()
    configuration.set("hadoop.tmp.dir", Rows.newDirectory().toString)
    // Hadoop and Cascading look every five seconds whether a job is done.
    configuration.setInt("mapreduce.client.completion.pollinterval", 100)
    configuration.setInt("cascading.flow.job.pollinginterval", 100)
    val config = Config.hadoopWithDefaults(configuration)
    Await.result(execution.getCounters.run(config, Hdfs(true, configuration)), 5.minutes)
  }

  private def counter(counters: ExecutionCounters, name: String): Long =
    counters.get(StatKey(name, "faiss-indexer")).getOrElse(0L)
}
