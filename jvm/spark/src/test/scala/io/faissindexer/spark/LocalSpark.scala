package io.faissindexer.spark

import java.nio.file.{Files, Path}

import org.apache.spark.sql.SparkSession

/** Spark in this JVM, and a directory to work in, until the JVM ends. */
object LocalSpark {
  lazy val session: SparkSession = SparkSession
    .builder()
    .master("local[2]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "localhost")
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()

  def directory(): Path = Files.createTempDirectory("faiss-indexer-test")
}
