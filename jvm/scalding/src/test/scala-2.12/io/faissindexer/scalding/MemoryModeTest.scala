package io.faissindexer.scalding

import java.nio.file.{Files, Paths}

import scala.collection.JavaConverters._
import scala.concurrent.Await
import scala.concurrent.ExecutionContext.Implicits.global
import scala.concurrent.duration._

import com.twitter.scalding.{Config, Execution, TypedPipe}
import com.twitter.scalding.typed.memory_backend.MemoryMode
import io.faissindexer.{FaissIndexException, IndexSpec, StockFaiss}
import io.faissindexer.FaissIndexException.Kind
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

/** Scalding's planner that runs everything in this process. */
class MemoryModeTest extends BuildsInExecutions {
  import Rows._

  override protected def run[T](execution: Execution[T]): T =
    Await.result(execution.run(Config.empty, MemoryMode.empty), 5.minutes)

  private def assertFails(kind: Kind, message: String)(execution: Execution[_]): Unit = {
    val failure = assertThrows(
      classOf[FaissIndexException],
      new ThrowingRunnable { override def run(): Unit = { MemoryModeTest.this.run(execution); () } })
    assertTrue(failure.getMessage, failure.getMessage.contains(message))
    assertEquals(kind, failure.kind())
  }

  @Test def theBytesAreThoseOfTheCoreAndStockFaissReadsThem(): Unit = {
    val output = newOutput()
    val receipt = run(FaissIndexer.build(pipe(7), Spec, AbstractFile(output)))
    assertEquals(expected, receipt.crc32c())
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json", "report.html"), names(output))
    StockFaiss.versions().asScala.foreach(_.assertHolds(Paths.get(receipt.index()), embeddings, false))
  }

  @Test def theShareAndTheMetricReachTheSpec(): Unit = {
    val output = newOutput()
    run(FaissIndexer.build(pipe(), 0.5f, Family, Cosine, AbstractFile(output)))
    val spec = IndexSpec.builder().factoryString(Family).sampleRate(0.5).metric("cosine").build()
    val local = io.faissindexer.FaissIndexer.build(embeddings.partitions(2, 3), spec, newOutput())
    assertArrayEquals(
      Files.readAllBytes(Paths.get(local.index())), Files.readAllBytes(Paths.get(output, "faiss.index")))
  }

  @Test def whatCannotBeBuiltIsAFailureOfTheExecution(): Unit = {
    val output = newOutput()
    assertFails(Kind.INVALID_SPEC, "IVFX")(FaissIndexer.build(pipe(), 0.05f, "IVFX", L2, AbstractFile(output)))
    assertFails(Kind.TOO_FEW_ROWS, "no row")(
      FaissIndexer.build(TypedPipe.empty, 0.05f, Family, L2, AbstractFile(output)))
    val withoutRows = Spec.toBuilder.dimension(16).build()
    assertFails(Kind.TOO_FEW_ROWS, "")(FaissIndexer.build(TypedPipe.empty, withoutRows, AbstractFile(output)))
    val odd = pipe() ++ TypedPipe.from(Seq(EntityEmbedding(1L, Array(1f)), EntityEmbedding(2L, null)))
    assertFails(Kind.BAD_ROWS, "2")(FaissIndexer.build(odd, withoutRows, AbstractFile(output)))
    assertEquals(Nil, names(output))
  }

  @Test def aFinishedIndexIsRefused(): Unit = {
    val output = newOutput()
    run(FaissIndexer.build(pipe(), Spec, AbstractFile(output)))
    assertFails(Kind.ALREADY_EXISTS, "_SUCCESS")(FaissIndexer.build(pipe(), Spec, AbstractFile(output)))
    val again = FaissIndexer.build(pipe(), Spec.toBuilder.overwrite(true).build(), AbstractFile(output))
    assertEquals(expected, run(again).crc32c())
  }
}
