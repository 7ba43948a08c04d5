package io.faissindexer.scalding

import java.nio.file.{Files, Path, Paths}

import com.twitter.scalding.TypedPipe
import io.faissindexer.{Embeddings, IndexSpec, ReferenceBuild}

/** Rows that tasks make for themselves, and what their index is. */
object Rows {
  val embeddings: Embeddings = ReferenceBuild.ROWS
  val Family: String = ReferenceBuild.FACTORY_STRING
  val Spec: IndexSpec = IndexSpec.builder().factoryString(Family).build()

  val expected: String = ReferenceBuild.CRC32C

  /** The rows in an order that a seed gives, made where the pipe is computed. */
  def pipe(seed: Long = 0): TypedPipe[EntityEmbedding[Long]] =
    TypedPipe.from(Seq(seed)).flatMap { order =>
      val rows = embeddings.order(order)
      new Iterator[EntityEmbedding[Long]] {
        private val numbers = rows.iterator()
        override def hasNext: Boolean = numbers.hasNext
        override def next(): EntityEmbedding[Long] = {
          val row = numbers.next().intValue
          EntityEmbedding(embeddings.id(row), embeddings.vector(row))
        }
      }
    }

  def newDirectory(): Path = Files.createTempDirectory("faiss-indexer-test")

  def newOutput(): String = newDirectory().resolve("out").toString

  def names(directory: String): Seq[String] = {
    val listed = Paths.get(directory).toFile.list()
    if (listed == null) Nil else listed.toSeq.filterNot(_.endsWith(".crc")).sorted
  }
}
