package io.faissindexer.spark

import java.io.{ByteArrayOutputStream, PrintStream}
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path}

import io.faissindexer.Embeddings
import org.apache.spark.sql.{DataFrame, Dataset}
import org.apache.spark.sql.functions._
import org.junit.Assert._
import org.junit.Test

class IndexBuilderAppTest {
  import IndexBuilderAppTest._

  private val output = LocalSpark.directory().resolve("out")

  private def run(input: Path, more: String*): Result =
    IndexBuilderAppTest.run(Seq("--input", input.toString, "--output", output.toString) ++ more: _*)

  private def assertRefused(exitCode: Int, message: String)(result: Result): Unit = {
    assertEquals(result.toString, exitCode, result.exitCode)
    assertTrue(result.toString, result.lastError.startsWith("faiss-indexer-spark: error: "))
    assertTrue(result.toString, result.lastError.contains(message))
    assertEquals(result.toString, "", result.out)
    val left = Option(output.toFile.list()).toSeq.flatten
    assertEquals("nothing is left behind", Seq.empty, left)
  }

  @Test def theLastLineOfOutputIsTheReceipt(): Unit = {
    val result = run(Good, "--factory_string", "IVF16,SQ8", "--metric=cosine")
    assertEquals(result.toString, 0, result.exitCode)
    assertTrue(result.lastOutput, result.lastOutput.matches("""\{.*"rows":400.*\}"""))
    for (key <- Seq("bytes", "seconds", "fingerprint", "index"))
      assertTrue(result.lastOutput, result.lastOutput.contains("\"" + key + "\":"))
    for (stage <- Seq("sample partitions", "train", "encode partitions", "merge"))
      assertTrue(result.err, result.err.contains(s"faiss-indexer-spark: $stage: done"))
    assertTrue(Files.exists(output.resolve("_SUCCESS")))
  }

  @Test def helpIsSaidAndNothingElseDone(): Unit = {
    val result = IndexBuilderAppTest.run("--help")
    assertEquals(0, result.exitCode)
    assertTrue(result.out.contains("--factory-string"))
  }

  @Test def specsThatCannotBeBuiltAreUsageErrors(): Unit = {
    assertRefused(2, "'Unheard'")(run(Good, "--factory-string", "Unheard"))
    assertRefused(2, "'HNSW32'")(run(Good, "--factory-string", "IVF16,HNSW32"))
    assertRefused(2, "dimension=100")(run(OfHundred, "--factory-string", "PQ48"))
    assertRefused(2, "metric='hamming'")(run(Good, "--metric", "hamming"))
    assertRefused(2, "badRows='ignore'")(run(Good, "--bad-rows", "ignore"))
    assertRefused(2, "did you mean --factory-string?")(run(Good, "--factory-sting", "Flat"))
    assertRefused(2, "--output is missing")(IndexBuilderAppTest.run("--input", Good.toString))
  }

  @Test def inputsThatCannotBeReadAreUsageErrors(): Unit = {
    assertRefused(2, "no column 'vector'; the columns are entityId, embedding") {
      run(Good, "--embedding-column", "vector")
    }
    assertRefused(2, "'entityId' is of type string")(run(StringIds))
    assertRefused(2, "/missing/input") {
      IndexBuilderAppTest.run("--input", "/missing/input", "--output", output.toString)
    }
  }

  @Test def badRowsFailTheBuildAndAreNamed(): Unit = {
    assertRefused(1, "3 instead of 8) [id 77]")(run(ShortRow, "--factory-string", "Flat"))
    assertRefused(1, "NaN or an infinite number [id 78]")(run(NotANumber, "--factory-string", "Flat"))
    assertRefused(1, "length zero, which cosine cannot scale [id 79]") {
      run(ZeroRow, "--factory-string", "Flat", "--metric", "cosine")
    }
    assertRefused(1, "1000000007")(run(Repeated, "--factory-string", "Flat"))
  }

  @Test def tooFewRowsFailTheBuild(): Unit = {
    assertRefused(1, Empty.toString)(run(Empty, "--factory-string", "Flat"))
    assertRefused(1, "512")(run(Good, "--factory-string", "IVF512,Flat"))
  }

  @Test def anOutputThatCannotBeWrittenFailsTheBuild(): Unit = {
    val file = Files.createFile(LocalSpark.directory().resolve("file"))
    val result = IndexBuilderAppTest.run("--input", Good.toString, "--output", s"$file/out", "--factory-string", "Flat")
    assertRefused(1, s"$file/out")(result)
  }

  @Test def skippedRowsAreSaidAndCountedInTheManifest(): Unit = {
    val result = run(NotANumber, "--factory-string", "Flat", "--bad-rows", "skip")
    assertEquals(result.toString, 0, result.exitCode)
    assertTrue(result.err, result.err.contains("left out 1 bad rows"))
    val manifest = new String(Files.readAllBytes(output.resolve("faiss.manifest.json")), StandardCharsets.UTF_8)
    assertTrue(manifest, manifest.replaceAll("\\s", "").contains("\"notFinite\":{\"rows\":1,\"firstIds\":[78]"))
  }

  @Test def aFinishedIndexIsReplacedOnlyWithTheFlag(): Unit = {
    assertEquals(0, run(Good, "--factory-string", "Flat").exitCode)
    val refused = run(Good, "--factory-string", "Flat")
    assertEquals(refused.toString, 2, refused.exitCode)
    assertTrue(refused.lastError, refused.lastError.contains(output.toString))
    assertEquals(0, run(Good, "--factory-string", "SQ8", "--overwrite").exitCode)
  }
}

object IndexBuilderAppTest {
  private val Rows: Seq[Tables.Row] = Tables.rows(new Embeddings(400, 8))
  private val inputs = LocalSpark.directory()

  private def good: DataFrame = table(Rows).toDF()

  private lazy val Good = stored("good", good)
  private lazy val OfHundred = stored("of hundred", Tables.of(LocalSpark.session, new Embeddings(400, 100), 2, 0))
  private lazy val StringIds = stored("string ids", good.withColumn("entityId", col("entityId").cast("string")))
  private lazy val ShortRow = stored("short row", table(Rows :+ Tables.Row(77L, Array(1f, 2f, 3f))))
  private lazy val NotANumber = stored("not a number", table(Rows :+ Tables.Row(78L, Array.fill(8)(Float.NaN))))
  private lazy val ZeroRow = stored("zero row", table(Rows :+ Tables.Row(79L, new Array[Float](8))))
  private lazy val Repeated = stored("repeated", table(Rows :+ Rows.head))
  private lazy val Empty = stored("empty", table(Seq.empty))

  private def table(rows: Seq[Tables.Row]): Dataset[Tables.Row] = Tables.of(LocalSpark.session, rows)

  private def stored(name: String, dataset: Dataset[_]): Path = {
    val path = inputs.resolve(name)
    dataset.write.parquet(path.toString)
    path
  }

  final case class Result(exitCode: Int, out: String, err: String) {
    def lastError: String = err.linesIterator.toSeq.last
    def lastOutput: String = out.linesIterator.toSeq.last
  }

  /** Runs the program in this JVM and keeps what it says. */
  private def run(arguments: String*): Result = {
    LocalSpark.session
    val (out, err) = (new ByteArrayOutputStream, new ByteArrayOutputStream)
    val (outBefore, errBefore) = (System.out, System.err)
    System.setOut(new PrintStream(out, true))
    System.setErr(new PrintStream(err, true))
    try {
      val exitCode = IndexBuilderApp.run(arguments.toArray)
      Result(exitCode, out.toString, err.toString)
    } finally {
      System.setOut(outBefore)
      System.setErr(errBefore)
    }
  }
}
