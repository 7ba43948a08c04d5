package io.faissindexer.scalding

import java.io.{ByteArrayOutputStream, PrintStream}
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path, Paths}

import org.apache.hadoop.fs.{Path => HadoopPath}
import org.junit.Assert._
import org.junit.Test

/** The program, with jobs in this process. */
class IndexBuilderAppHadoopTest {
  import IndexBuilderAppHadoopTest._
  import Rows._

  @Test def aCommandOfBeforeBuildsBelowTheDirectoryOfTheDay(): Unit = {
    val output = newOutput()
    val (code, out) = run(
      "--input", directoryOf(RowFiles.text, 1).toString, "--metric", "L2", "--num_dimensions", "16", "--output_dir",
      output, "--factory_string", Family, "--embedding_date_range", "2023-01-30", "--report=false")
    assertEquals(0, code)
    assertTrue(out, out.split('\n').last.startsWith("{"))
    val directory = s"$output/2023/01/30"
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names(directory))
    assertArrayEquals(core(), Files.readAllBytes(Paths.get(directory, "faiss.index")))
    val manifest = new String(Files.readAllBytes(Paths.get(directory, "faiss.manifest.json")), StandardCharsets.UTF_8)
    assertTrue(manifest, manifest.matches("(?s).*\"sampleRate\": 0.05\\D.*"))
  }

  @Test def parquetAndSequenceFilesGiveTheBytesOfTheCore(): Unit =
    for (writer <- Seq(RowFiles.parquet, RowFiles.sequence)) {
      val output = newOutput()
      val (code, _) = run(
        "--input", directoryOf(writer, 2).toString, "--output", output, "--factory-string", Family, "--report=false")
      assertEquals(0, code)
      assertArrayEquals(core(), Files.readAllBytes(Paths.get(output, "faiss.index")))
    }

  @Test def aLimitKeepsAsManyRows(): Unit = {
    val output = newOutput()
    val (code, out) = run(
      "--input", directoryOf(RowFiles.text, 1).toString, "--output", output, "--factory-string", "Flat",
      "--embedding_limit", "700",
      "--report=false")
    assertEquals(0, code)
    assertTrue(out, out.contains("\"rows\":700"))
  }

  @Test def optionsOfHadoopsMayBeTwoWords(): Unit = {
    val output = newOutput()
    val (code, _) = run(
      "-D", "mapreduce.job.queuename=indexing", "--input", directoryOf(RowFiles.text, 1).toString, "--output", output,
      "--factory-string", Family, "--report=false")
    assertEquals(0, code)
    assertArrayEquals(core(), Files.readAllBytes(Paths.get(output, "faiss.index")))
  }

  @Test def whatMakesNoSenseIsAUsageErrorAndNothingIsWritten(): Unit = {
    val output = newOutput()
    val rows = directoryOf(RowFiles.text, 1).toString
    assertEquals((2, ""), run("--input", rows, "--output", output, "--metrics", "L2"))
    assertEquals((2, ""), run("--input", rows, "--output", output, "--factory-string", "IVFX"))
    assertEquals((2, ""), run("--input", s"$rows/nowhere", "--output", output))
    assertEquals((2, ""), run("--input", rows, "--output", output, "--threads", "abc"))
    assertEquals((2, ""), run("--input", rows, "--output", "hdfs://nowhere.invalid/x"))
    assertEquals((2, ""), run("-D", "key", "--input", rows, "--output", output))
    assertEquals("a cluster, and none", (2, ""), run("--hdfs", "--input", rows, "--output", output))
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
        s"-Dhadoop.tmp.dir=${Rows.newDirectory()}")
      val code = IndexBuilderApp.run(fast ++ Array("--local") ++ arguments)
      (code, said.toString("UTF-8"))
    } finally System.setOut(before)
  }

  private def directoryOf(writer: RowFiles.Writer, files: Int): Path = {
    val directory = Rows.newDirectory()
    RowFiles.write(Rows.embeddings, new HadoopPath(directory.toUri), files, writer)
    directory
  }

  private def core(): Array[Byte] = {
    val receipt = io.faissindexer.FaissIndexer.build(Rows.embeddings.partitions(1, 0), Rows.Spec, Rows.newOutput())
    Files.readAllBytes(Paths.get(receipt.index()))
  }
}
