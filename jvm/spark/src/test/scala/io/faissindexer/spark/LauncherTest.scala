package io.faissindexer.spark

import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path}

import io.faissindexer.{Embeddings, IndexSpec}
import org.junit.Assert._
import org.junit.Test

/** The program as a user starts it, in a process of its own. */
class LauncherTest {
  import LauncherTest._

  private val output = LocalSpark.directory().resolve("out")

  private def launch(sparkOptions: String*)(arguments: String*): Result =
    start(None)(
      Seq("--master", "local[2]", "--driver-memory=1g") ++ sparkOptions ++
        Seq("--conf", "spark.ui.enabled=false") ++ arguments: _*)

  private def start(sparkHome: Option[Path])(arguments: String*): Result = {
    val said = LocalSpark.directory()
    val command = System.getProperty("faissindexer.test.launcher") +: arguments
    val builder = new ProcessBuilder(command: _*)
      .redirectOutput(said.resolve("out").toFile)
      .redirectError(said.resolve("err").toFile)
    builder.environment().remove("SPARK_HOME")
    sparkHome.foreach(home => builder.environment().put("SPARK_HOME", home.toString))
    val exitCode = builder.start().waitFor()
    Result(exitCode, text(said.resolve("out")), text(said.resolve("err")))
  }

  private def build(sparkOptions: String*): Result =
    launch(sparkOptions: _*)("--input", Input.toString, "--output", output.toString, "--factory-string", Family)

  @Test def aKilledDriverLeavesNoMarkOfSuccessAndANewRunDoes(): Unit = {
    val killed = build(
      "--driver-class-path", System.getProperty("faissindexer.test.classes"),
      "--conf", s"spark.extraListeners=${classOf[KillsDriverThatEncodes].getName}")
    assertEquals(killed.toString, KilledBySignal9, killed.exitCode)
    assertTrue("it was building", Files.exists(output.resolve("_temporary")))
    assertFalse(Files.exists(output.resolve("_SUCCESS")))
    assertFalse(Files.exists(output.resolve("faiss.index")))

    val finished = build()
    assertEquals(finished.toString, 0, finished.exitCode)
    assertTrue(finished.toString, finished.out.linesIterator.toSeq.last.startsWith("{"))
    assertTrue(Files.exists(output.resolve("_SUCCESS")))
    assertFalse("what the killed driver left is gone", Files.exists(output.resolve("_temporary")))
    val expected = io.faissindexer.FaissIndexer
      .build(Rows.partitions(1, 0), IndexSpec.builder().factoryString(Family).build(), LocalSpark.directory() + "/out")
    assertArrayEquals(
      Files.readAllBytes(java.nio.file.Paths.get(expected.index())), Files.readAllBytes(output.resolve("faiss.index")))
  }

  @Test def anInstalledSparkGetsItsOptionsOurJarsAndTheBuildersArguments(): Unit = {
    val home = LocalSpark.directory()
    val submit = Files.createDirectories(home.resolve("bin")).resolve("spark-submit")
    Files.write(submit, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n".getBytes(StandardCharsets.UTF_8))
    assertTrue(submit.toFile.setExecutable(true))
    val result = start(Some(home))("--input", "a b", "--master=yarn", "--jars", "x.jar", "--output", "o", "--overwrite")
    assertEquals(result.toString, 0, result.exitCode)
    val given = result.out.linesIterator.toSeq
    assertEquals(Seq("--name", "faiss-indexer", "--master", "yarn", "--jars"), given.take(5))
    assertEquals(
      Seq("faiss-indexer-core", "faiss-indexer-hadoop", "x.jar"),
      given(5).split(",").map(jar => jar.split("/").last.replaceAll("-[0-9.]+\\.jar$", "")).toSeq)
    assertEquals(Seq("--class", classOf[IndexBuilderAppTest].getName.stripSuffix("Test")), given.slice(6, 8))
    assertTrue(given(8), given(8).matches(".*/faiss-indexer-spark-[^/]*\\.jar"))
    assertEquals(Seq("--input", "a b", "--output", "o", "--overwrite"), given.drop(9))
  }

  @Test def anOptionOfSparkWithoutItsValueIsAUsageError(): Unit = {
    val result = start(None)("--input", "x", "--master")
    assertEquals(result.toString, 2, result.exitCode)
    assertEquals("faiss-indexer-spark: error: --master has no value\n", result.err)
  }

  @Test def usageErrorsHaveTheirExitCodeAndOneLine(): Unit = {
    val result = launch()("--inputs", "x")
    assertEquals(result.toString, 2, result.exitCode)
    assertTrue(result.err, result.err.contains("unknown flag --inputs; did you mean --input?"))
    assertEquals("", result.out)
  }
}

object LauncherTest {
  private val KilledBySignal9 = 137
  private val Rows = new Embeddings(2000, 16)
  private val Family = "IVF16,SQ8"

  private lazy val Input: Path = {
    val path = LocalSpark.directory().resolve("rows")
    Tables.of(LocalSpark.session, Rows, 3, 0).write.parquet(path.toString)
    path
  }

  private final case class Result(exitCode: Int, out: String, err: String)

  private def text(file: Path): String = new String(Files.readAllBytes(file), StandardCharsets.UTF_8)
}
