package io.faissindexer.scalding

import java.nio.file.{Files, Paths}

import com.twitter.scalding.Execution
import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import org.junit.Assert._
import org.junit.Test

/** What callers make of the Execution of a build, in whatever mode. */
abstract class BuildsInExecutions {
  import Rows._

  protected def run[T](execution: Execution[T]): T

  private val plain = Spec.toBuilder.report(false).build()

  @Test def nothingHappensBeforeTheExecutionRuns(): Unit = {
    val output = newOutput()
    val parent = Paths.get(output).getParent
    val build: Execution[Unit] = FaissIndexer.build(pipe(), 0.05f, Family, L2, AbstractFile(output))
    val two = build.zip(Execution.from(2)).map(_._2)
    // Whatever had begun by itself would be seen by then.
    Thread.sleep(200)
    assertEquals(0, parent.toFile.list().length)
    assertEquals(2, run(two))
    assertTrue(Files.exists(Paths.get(output, "_SUCCESS")))
  }

  @Test def buildsGoBesideAndBeforeOtherSteps(): Unit = {
    val outputs = Seq(newOutput(), newOutput())
    val Seq(first, second) = outputs.map(output => FaissIndexer.build(pipe(), plain, AbstractFile(output)))
    val found = first.zip(second).flatMap { case (one, other) =>
      assertEquals(Seq(expected, expected), Seq(one.crc32c(), other.crc32c()))
      Execution.from(outputs.map(output => Files.exists(Paths.get(output, "_SUCCESS"))))
    }
    assertEquals("the index is there for the next step", Seq(true, true), run(found))
  }

  @Test def aFailedBuildIsRecoveredByAnotherOne(): Unit = {
    val output = newOutput()
    val impossible = FaissIndexer.build(pipe(), plain.toBuilder.factoryString("IVFX").build(), AbstractFile(output))
    val possible = impossible.recoverWith { case failure: FaissIndexException if failure.kind == Kind.INVALID_SPEC =>
      FaissIndexer.build(pipe(), plain, AbstractFile(output))
    }
    assertEquals(expected, run(possible).crc32c())
  }
}
