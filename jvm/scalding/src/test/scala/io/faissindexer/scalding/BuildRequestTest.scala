package io.faissindexer.scalding

import io.faissindexer.FaissIndexException
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

class BuildRequestTest {

  private def parse(arguments: String): BuildRequest = BuildRequest.parse(arguments.split(" "))

  private def refusal(arguments: String): String =
    assertThrows(
      classOf[FaissIndexException],
      new ThrowingRunnable { override def run(): Unit = { parse(arguments); () } }).getMessage

  @Test def theFlagsOfTheJobsBeforeGiveTheSpecOfOurs(): Unit = {
    val before = parse(
      "--input /a /b --metric InnerProduct --num_dimensions 64 --embedding_limit 500 --output_dir /out " +
        "--factory_string IVF16,PQ8 --training_sample_rate 0.1 --embedding_date_range 2023-01-30 2023-02-03")
    val ours = parse(
      "--input /a --input=/b --metric=InnerProduct --dimension 64 --output /out/2023/02/03 " +
        "--factory-string IVF16,PQ8 --sample-rate 0.1")
    assertEquals(ours.line.spec(), before.line.spec())
    assertEquals(ours.line.inputs(), before.line.inputs())
    assertEquals(ours.line.output(), before.line.output())
    assertEquals(Some(500), before.embeddingLimit)
    assertEquals(None, ours.embeddingLimit)
  }

  @Test def oneDayIsEnoughAndASlashAtTheEndIsLeftOut(): Unit =
    assertEquals(
      "/out/2023/01/30", parse("--input /a --output_dir /out/ --embedding_date_range 2023-01-30").line.output())

  @Test def whatMakesNoSenseIsNamed(): Unit = {
    assertEquals("--embedding-limit '-1' is not a whole number above 0", refusal("--input a --embedding_limit -1"))
    assertEquals("--embedding-limit has 2 values instead of one", refusal("--embedding-limit 1 2"))
    val dates = refusal("--input a --output b --embedding-date-range yesterday-ish")
    assertTrue(dates, dates.startsWith("--embedding-date-range 'yesterday-ish' is not one day or two"))
    assertTrue(refusal("--inputs a"), refusal("--inputs a").contains("did you mean --input?"))
    assertEquals("unexpected argument 'a': flags begin with --", refusal("a --input b"))
  }

  @Test def flagsThatAreRepeatedBecomeOne(): Unit =
    assertEquals(
      Seq("--input", "a", "b", "--overwrite"), BuildRequest.regrouped(Seq("--input=a", "--overwrite", "--input", "b")))
}
