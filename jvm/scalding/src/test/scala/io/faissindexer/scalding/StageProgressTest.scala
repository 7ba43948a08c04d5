package io.faissindexer.scalding

import java.util.concurrent.LinkedBlockingQueue

import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

class StageProgressTest {
  private val said = new LinkedBlockingQueue[String]
  private var rows: Option[Long] = None
  private val progress = new StageProgress(line => said.put(line), () => rows, millisBetweenLines = 1)

  @Test def aLongStageSaysTimeAndRowsUntilItIsDone(): Unit = {
    rows = Some(1234567)
    val result = progress.of("encode") {
      assertEquals("encode: begun", said.take())
      said.take()
    }
    assertTrue(result, result.matches("encode: \\d+ s, 1,234,567 rows, [\\d,]+ rows/s"))
    var last = said.take()
    while (!said.isEmpty) last = said.take()
    assertTrue(last, last.matches("encode: done, \\d+ s"))
  }

  @Test def whereNobodyCountsTheTimeIsSaidAlone(): Unit =
    progress.of("train") {
      assertEquals("train: begun", said.take())
      val line = said.take()
      assertTrue(line, line.matches("train: \\d+ s"))
    }

  @Test def aFailedStageIsNotDone(): Unit = {
    val failure = assertThrows(
      classOf[IllegalStateException],
      new ThrowingRunnable {
        override def run(): Unit = progress.of("merge")(throw new IllegalStateException("no"))
      })
    assertEquals("no", failure.getMessage)
    assertFalse(said.toString, said.toArray.exists(_.toString.contains("done")))
  }
}
