package io.faissindexer.spark

import scala.collection.JavaConverters._

import io.faissindexer.Embeddings
import org.apache.spark.sql.{Dataset, Encoders, SparkSession}

/** Datasets of the rows that the tests of the core build too. */
object Tables {
  final case class Row(entityId: java.lang.Long, embedding: Array[Float])

  def of(session: SparkSession, embeddings: Embeddings, partitions: Int, order: Long): Dataset[Row] =
    of(session, rows(embeddings, order), partitions)

  def of(session: SparkSession, rows: Seq[Row], partitions: Int = 2): Dataset[Row] =
    session.createDataset(session.sparkContext.parallelize(rows, partitions))(Encoders.product[Row])

  def rows(embeddings: Embeddings, order: Long = 0): Seq[Row] =
    embeddings.order(order).asScala.map(row => Row(embeddings.id(row), embeddings.vector(row)))
}
