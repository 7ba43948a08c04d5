package io.faissindexer.scalding

import java.io.{ByteArrayOutputStream, PrintStream}
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path, Paths}

import org.junit.Assert._
import org.junit.Test

/** The program, with jobs in this process. */
class IndexBuilderAppHadoopTest {
  import IndexBuilderAppHadoopTest._
  import Rows._

  @Test def aCommandOfBeforeBuildsFromTextBelowTheDirectoryOfTheDay(): Unit = {
    val output = newOutput()
    val (code, out) = run(
      "--input", text().toString, "--metric", "L2", "--num_dimensions", "16", "--output_dir", output,
      "--factory_string", Family, "--training_sample_rate", "0.05", "--embedding_date_range", "2023-01-30",
      "--report=false")
    assertEquals(0, code)
    assertTrue(out, out.split('\n').last.startsWith("{"))
    val directory = s"$output/2023/01/30"
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names(directory))
    assertArrayEquals(core(), Files.readAllBytes(Paths.get(directory, "faiss.index")))
  }

  @Test def aLimitKeepsAsManyRows(): Unit = {
    val output = newOutput()
    val (code, out) = run(
      "--input", text().toString, "--output", output, "--factory-string", "Flat", "--embedding_limit", "700",
      "--report=false")
    assertEquals(0, code)
    assertTrue(out, out.contains("\"rows\":700"))
  }

  @Test def whatMakesNoSenseIsAUsageErrorAndNothingIsWritten(): Unit = {
    val output = newOutput()
    assertEquals((2, ""), run("--input", "/nowhere", "--output", output, "--metrics", "L2"))
    assertEquals((2, ""), run("--input", text().toString, "--output", output, "--factory-string", "IVFX"))
    assertEquals(Nil, names(output))
  }
}

object IndexBuilderAppHadoopTest {

  private def run(arguments: String*): (Int, String) = {
    val before = System.out
    val said = new ByteArrayOutputStream
    System.setOut(new PrintStream(said, true, "UTF-8"))
    try {
      val fast = Array(
        "-Dmapreduce.client.completion.pollinterval=100",
        "-Dcascading.flow.job.pollinginterval=100",
        s"-Dhadoop.tmp.dir=${Rows.newDirectory()}")
      val code = IndexBuilderApp.run(fast ++ Array("--local") ++ arguments)
      (code, said.toString("UTF-8"))
    } finally System.setOut(before)
  }

  private def text(): Path = {
    val rows = Rows.embeddings
    val lines = (0 until rows.rows).map(row => s"${rows.id(row)}\t${rows.vector(row).mkString(",")}")
    val file = Rows.newDirectory().resolve("rows.txt")
    Files.write(file, lines.mkString("", "\n", "\n").getBytes(StandardCharsets.UTF_8))
  }

  private def core(): Array[Byte] = {
    val receipt = io.faissindexer.FaissIndexer.build(Rows.embeddings.partitions(1, 0), Rows.Spec, Rows.newOutput())
    Files.readAllBytes(Paths.get(receipt.index()))
  }
}
