package io.faissindexer.scalding

import java.net.URLClassLoader
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path}

import scala.collection.JavaConverters._

import com.twitter.scalding.{Config, HadoopMode}
import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import io.faissindexer.hadoop.{TaskContainer, TaskKind}
import org.apache.hadoop.conf.Configuration
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

/** What the program makes of Hadoop's options and of the site's files, for jobs on YARN. */
class IndexBuilderAppConfigTest {
  import IndexBuilderAppConfigTest._

  @Test def optionsMayBeInOneWordOrTwoBeforeOrAfterTheFlags(): Unit = {
    val file = newFile("mine.xml", "a" -> "of the file", "b" -> "of the file")
    val (config, hadoop) =
      configured("-conf", file.toString, "-D", "b=x y", "-Dc=1=2", "--input", "in", "-D", "d=4", "--output", "out")
    assertEquals(Seq("of the file", "x y", "1=2", "4"), Seq("a", "b", "c", "d").map(hadoop.get))
    assertEquals(Seq("in", "out"), Seq("input", "output").flatMap(config.getArgs.list))
  }

  @Test def optionsThatMakeNoSenseAreUsageErrors(): Unit =
    for ((arguments, message) <- Seq(
        Seq("--input", "in", "-D") -> "-D has no value",
        Seq("-D", "key", "--input", "in") -> "-Dkey is not of the form -D key=value",
        Seq("-conf", "/nowhere.xml", "-D", "a=b") -> "-conf: /nowhere.xml cannot be read")) {
      val failure = assertThrows(
        classOf[FaissIndexException],
        new ThrowingRunnable { override def run(): Unit = { configured(arguments: _*); () } })
      assertTrue(failure.getMessage, failure.getMessage.contains(message))
      assertEquals(Kind.INVALID_SPEC, failure.kind())
    }

  @Test def whereNobodyHasSaidAnythingTheStageDecides(): Unit = {
    val (_, hadoop) = configured()
    assertEquals("1408", settings(hadoop)(Memory))
    assertEquals("yarn-default's largest container is nobody's word", "9600", settings(hadoop, 8500)(Memory))
    assertEquals("7", settings(hadoop)(Cores))
  }

  @Test def whatTheSiteSaysIsALowerBound(): Unit =
    withSite(Memory -> "1024", Cores -> "2") {
      val (_, hadoop) = configured()
      assertEquals("1408", settings(hadoop)(Memory))
      assertEquals("7", settings(hadoop)(Cores))
    }

  @Test def theOptionsOfAnyTaskReachTasksWithoutOptionsOfTheirOwn(): Unit = {
    val (_, hadoop) = configured("-Dmapred.child.java.opts=-Xmx1g", "-Dmapreduce.reduce.java.opts=-Xmx2g")
    for ((kind, heap) <- Seq("map" -> "-Xmx1g", "reduce" -> "-Xmx2g")) {
      val options = hadoop.get(s"mapreduce.$kind.java.opts")
      assertTrue(options, options.startsWith(s"$heap -XX:+IgnoreUnrecognizedVMOptions --add-opens="))
    }
    assertFalse(hadoop.get("yarn.app.mapreduce.am.command-opts").contains("-Xmx1g"))
  }

  @Test def whatTheUserSaysHolds(): Unit = {
    val file = newFile("mine.xml", Cores -> "3")
    withSite(Memory -> "2048") {
      val (_, hadoop) = configured("-conf", file.toString, "-D", s"$Memory=1024")
      assertEquals("1024", settings(hadoop)(Memory))
      assertEquals(None, settings(hadoop).get(Cores))
    }
  }
}

object IndexBuilderAppConfigTest {
  private val Memory = "mapreduce.map.memory.mb"
  private val Cores = "mapreduce.map.cpu.vcores"

  /** The settings of the program, and those that a stage decides with. */
  private def configured(arguments: String*): (Config, Configuration) =
    IndexBuilderApp.config((Seq("-Dmapreduce.framework.name=yarn") ++ arguments).toArray) match {
      case (config, mode: HadoopMode) => (config, HadoopTasks.configuration(config, mode))
      case (_, mode) => throw new AssertionError(mode)
    }

  private def settings(configuration: Configuration, nativeMiB: Long = 300): Map[String, String] =
    new TaskContainer(TaskKind.MAP, configuration, "encode", nativeMiB << 20, 7).settings().asScala.toMap

  private def withSite(settings: (String, String)*)(test: => Unit): Unit = {
    val thread = Thread.currentThread()
    val before = thread.getContextClassLoader
    val site = newFile("mapred-site.xml", settings: _*).getParent.toUri.toURL
    thread.setContextClassLoader(new URLClassLoader(Array(site), before))
    try test
    finally thread.setContextClassLoader(before)
  }

  private def newFile(name: String, settings: (String, String)*): Path = {
    val properties = settings.map { case (key, value) =>
      s"<property><name>$key</name><value>$value</value></property>"
    }
    val text = properties.mkString("<configuration>", "", "</configuration>")
    Files.write(Rows.newDirectory().resolve(name), text.getBytes(StandardCharsets.UTF_8))
  }
}
