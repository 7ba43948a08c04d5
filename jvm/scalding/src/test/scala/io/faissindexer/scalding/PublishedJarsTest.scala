package io.faissindexer.scalding

import java.io.File
import java.util.jar.JarFile

import scala.collection.JavaConverters._

import org.junit.Assert._
import org.junit.Test

/** What users get: neither Scalding nor what that needs, which they have. */
class PublishedJarsTest {

  private def property(name: String): String = System.getProperty(s"faissindexer.test.$name")

  @Test def theJarsHoldClassesOfOursAlone(): Unit = {
    val jars = property("jars").split(File.pathSeparator)
    assertEquals(3, jars.length)
    jars.foreach { path =>
      val jar = new JarFile(path)
      try {
        val foreign = jar.entries.asScala.map(_.getName).filterNot(_.endsWith("/")).filterNot { name =>
          name.startsWith("io/faissindexer/") || name.startsWith("META-INF/")
        }
        assertEquals(path, Nil, foreign.toList)
      } finally jar.close()
    }
  }

  @Test def theJarOfScaldingAsksForTheModuleBelowItAlone(): Unit =
    assertEquals("io.faissindexer:hadoop", property("dependencies"))
}
