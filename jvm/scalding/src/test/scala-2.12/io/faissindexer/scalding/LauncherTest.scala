package io.faissindexer.scalding

import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path, Paths}

import scala.collection.JavaConverters._

import org.apache.hadoop.fs.{Path => HadoopPath}
import org.junit.Assert._
import org.junit.Test

/** The program as a user starts it, in a process of its own. */
class LauncherTest {
  import LauncherTest._
  import Rows._

  private val directory = newDirectory()

  private def launch(environment: (String, String)*)(arguments: String*): Result = {
    val exitCode = start(environment: _*)(arguments: _*).waitFor()
    Result(exitCode, text(directory.resolve("stdout")), text(directory.resolve("stderr")))
  }

  private def start(environment: (String, String)*)(arguments: String*): Process = {
    // The launcher, and then Java, take the shell's place, so that the number is theirs.
    val shell = Seq("/bin/sh", "-c", "echo $$ > \"$0\"; exec \"$@\"", directory.resolve("process").toString)
    val command = shell ++ (System.getProperty("faissindexer.test.launcher") +: arguments)
    val builder = new ProcessBuilder(command: _*)
      .redirectOutput(directory.resolve("stdout").toFile)
      .redirectError(directory.resolve("stderr").toFile)
    val variables = builder.environment()
    Seq("HADOOP_HOME", "HADOOP_CONF_DIR", "JDK_JAVA_OPTIONS").foreach(variables.remove)
    variables.put("HADOOP_CLIENT_OPTS", "-Xmx400m")
    variables.putAll(environment.toMap.asJava)
    builder.start()
  }

  private def build(output: String, input: String): Seq[String] =
    Seq("--input", input, "--output", output, "--dimension", "16", "--factory-string", Family) ++
      Seq("--sample-rate", "1", "--report=false")

  private def local(): String = {
    RowFiles.write(embeddings, new HadoopPath(directory.resolve("rows").toUri), 2, RowFiles.parquet)
    directory.resolve("rows").toString
  }

  private def assertBuilt(result: Result): Unit = {
    assertEquals(result.toString, 0, result.exitCode)
    val receipt = result.out.linesIterator.toSeq.last
    assertTrue(receipt, receipt.contains(s""""rows":${embeddings.rows},"""))
    for (key <- Seq("bytes", "seconds", "fingerprint", "index"))
      assertTrue(receipt, receipt.contains(s""""$key":"""))
    for (stage <- Stages)
      assertTrue(result.err, result.err.contains(s"faiss-indexer-scalding: $stage: done"))
  }

  private def assertRefused(message: String, result: Result): Unit = {
    assertEquals(result.toString, 2, result.exitCode)
    assertEquals("", result.out)
    // Hadoop may have warned before.
    assertEquals(s"faiss-indexer-scalding: error: $message", result.err.linesIterator.toSeq.last)
    assertFalse(result.err, result.err.contains("\tat "))
  }

  @Test def localBuildsOnThisMachineWhateverTheConfigurationNames(): Unit = {
    val output = directory.resolve("index")
    val site = Files.createDirectory(directory.resolve("site"))
    for ((file, key, value) <- Seq(
        ("core", "fs.defaultFS", "hdfs://nowhere.invalid:1"),
        ("mapred", "mapreduce.framework.name", "yarn"))) {
      val property = s"<configuration><property><name>$key</name><value>$value</value></property></configuration>"
      Files.write(site.resolve(s"$file-site.xml"), property.getBytes(StandardCharsets.UTF_8))
    }
    val result = launch("HADOOP_CONF_DIR" -> site.toString)("--local" +: build(output.toString, local()): _*)
    assertBuilt(result)
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names(output.toString))
    assertArrayEquals(core(), Files.readAllBytes(output.resolve("faiss.index")))
    assertFalse(result.err, result.err.contains("\tat "))
    val threads = s"with ${Runtime.getRuntime.availableProcessors} threads"
    assertTrue(result.err, result.err.linesIterator.exists(line => line.contains("training") && line.contains(threads)))
  }

  @Test def hdfsBuildsOnTheClusterThatTheConfigurationNames(): Unit = {
    val cluster = SmallCluster.shared
    RowFiles.write(embeddings, new HadoopPath("/launched/in"), 2, RowFiles.sequence, cluster.configuration)
    val before = cluster.applications
    val filesBefore = cluster.filesOfJobs
    val result =
      launch("HADOOP_CONF_DIR" -> cluster.site().toString)("--hdfs" +: build("/launched/out", "/launched/in"): _*)
    assertBuilt(result)
    assertFalse(result.err, result.err.contains("\tat "))
    assertEquals("temporary files of Scalding", filesBefore, cluster.filesOfJobs)
    val jobs = (cluster.applications -- before.keys).values
    assertEquals(jobs.toString, Stages.size, jobs.size)
    for (stage <- Stages) assertEquals(jobs.toString, 1, jobs.count(_.contains(s" $stage ")))
    val names = cluster.files.listStatus(new HadoopPath("/launched/out")).map(_.getPath.getName).sorted.toSeq
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), names)
    val copy = directory.resolve("copy")
    cluster.files.copyToLocalFile(new HadoopPath("/launched/out/faiss.index"), new HadoopPath(copy.toUri))
    assertArrayEquals(core(), Files.readAllBytes(copy))
  }

  @Test def aBuildThatIsToldToEndLeavesNothing(): Unit = {
    val output = directory.resolve("index")
    val process = start()("--local" +: build(output.toString, local()): _*)
    while (process.isAlive && !text(directory.resolve("stderr")).contains("sample partitions: begun")) Thread.sleep(50)
    // An interrupt would do the same, unless the tests run in the background of a shell, where nobody gets one.
    new ProcessBuilder("kill", "-TERM", text(directory.resolve("process")).trim).start().waitFor()
    val exitCode = process.waitFor()
    val said = text(directory.resolve("stderr"))
    assertEquals(said, EndedBySignal15, exitCode)
    assertEquals(said, Nil, names(output.toString))
  }

  @Test def helpIsSaidAndNothingElseDone(): Unit = {
    val result = launch()("--help")
    assertEquals(result.toString, 0, result.exitCode)
    for (flag <- Seq("--factory-string", "--embedding-date-range", "--local", "--hdfs"))
      assertTrue(result.out, result.out.contains(s"  $flag"))
    assertEquals("", result.err)
  }

  @Test def mistakesAreUsageErrorsWithoutATrace(): Unit = {
    val rows = Files.createDirectory(directory.resolve("empty")).toString
    val output = directory.resolve("index").toString
    assertRefused("unknown flag --inputs; did you mean --input?", launch()("--inputs", "x"))
    assertRefused(
      "--input: there is no file:/nowhere", launch()("--local", "--input", "file:/nowhere", "--output", output))
    assertRefused(
      "--input: java.net.UnknownHostException: nowhere.invalid",
      launch()("--local", "--input", "hdfs://nowhere.invalid:1/x", "--output", output))
    assertRefused(
      "--local and --hdfs exclude each other", launch()("--local", "--hdfs", "--input", rows, "--output", output))
    assertRefused(
      "--hdfs: Hadoop's configuration names no cluster: mapreduce.framework.name is local; HADOOP_CONF_DIR says " +
        "where one is, and --local does without",
      launch()("--hdfs", "--input", rows, "--output", output))
    assertRefused(
      s"there is no bin/hadoop in HADOOP_HOME ($directory)", launch("HADOOP_HOME" -> directory.toString)("--help"))
    assertFalse(Files.exists(Paths.get(output)))
  }

  @Test def aBuildThatFailsSaysWhyWithoutATrace(): Unit = {
    val rows = directory.resolve("rows.txt")
    Files.write(rows, "1\t1,2\n2\t1,2,3\n".getBytes(StandardCharsets.UTF_8))
    val output = directory.resolve("index")
    val result = launch()(
      "--local", "--input", rows.toString, "--output", output.toString, "--dimension", "2", "--factory-string", "Flat")
    assertEquals(result.toString, 1, result.exitCode)
    assertTrue(result.err, result.err.linesIterator.toSeq.last.contains("(3 instead of 2) [id 2]"))
    assertFalse(result.err, result.err.contains("\tat "))
    assertEquals("", result.out)
    assertEquals(Nil, names(output.toString))
  }

  @Test def anInstalledHadoopGetsOurJarsAndAllArguments(): Unit = {
    val home = directory.resolve("hadoop-home")
    val hadoop = Files.createDirectories(home.resolve("bin")).resolve("hadoop")
    Files.write(hadoop, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n".getBytes(StandardCharsets.UTF_8))
    assertTrue(hadoop.toFile.setExecutable(true))
    val result = launch("HADOOP_HOME" -> home.toString)("-D", "a=b c", "--input", "x y", "--output", "o")
    assertEquals(result.toString, 0, result.exitCode)
    val given = result.out.linesIterator.toSeq
    assertEquals("jar", given.head)
    assertTrue(given(1), given(1).matches(".*/faiss-indexer-scalding_2.12-[0-9.]+\\.jar"))
    assertEquals(Seq("io.faissindexer.scalding.IndexBuilderApp", "-libjars"), given.slice(2, 4))
    for (jar <- Seq("faiss-indexer-core", "faiss-indexer-hadoop", "scalding-core_2.12", "cascading-hadoop"))
      assertTrue(given(4), given(4).contains(s"/$jar-"))
    assertEquals(
      Seq("-Dmapreduce.job.user.classpath.first=true", "-D", "a=b c", "--input", "x y", "--output", "o"), given.drop(5))
  }
}

object LauncherTest {
  private val EndedBySignal15 = 143
  private val Stages = Seq("sample partitions", "train", "encode partitions", "merge")

  private final case class Result(exitCode: Int, out: String, err: String)

  private def core(): Array[Byte] = {
    val output = Rows.newOutput()
    io.faissindexer.FaissIndexer.build(Rows.embeddings.partitions(1, 0), Rows.Spec, output)
    Files.readAllBytes(Paths.get(output, "faiss.index"))
  }

  private def text(file: Path): String = new String(Files.readAllBytes(file), StandardCharsets.UTF_8)
}
