package io.faissindexer.spark

import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import io.faissindexer.stages.{RowSink, RowSource}
import org.apache.spark.rdd.RDD
import org.apache.spark.sql.{Column, Dataset}
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.types._

/** The rows of a Dataset as Spark keeps them, so that an embedding is copied once and no component is boxed. */
private[spark] final class EmbeddingRows private (selected: Dataset[_], column: EmbeddingColumn) {

  /** Asking an adaptive plan for its rows runs the stages before the last one, so nobody asks before it is time. */
  lazy val rows: RDD[InternalRow] = selected.queryExecution.toRdd

  /** The components of the first embedding that is found. */
  def firstDimension(): Option[Int] = {
    val embeddings = column
    rows
      .mapPartitions(_.filterNot(_.isNullAt(EmbeddingRows.EmbeddingOrdinal)).map(embeddings.dimension).take(1))
      .take(1)
      .headOption
  }

  /** Makes the rows of a task a source for a stage. */
  def source: Iterator[InternalRow] => RowSource = {
    val embeddings = column
    partition => (sink: RowSink) => partition.foreach(row => EmbeddingRows.give(row, embeddings, sink))
  }
}

private[spark] object EmbeddingRows {
  private val IdOrdinal = 0
  private[spark] val EmbeddingOrdinal = 1

  /** Checks the columns and reads nothing yet. */
  def of(dataset: Dataset[_], idColumn: String, embeddingColumn: String): EmbeddingRows = {
    field(dataset.schema, idColumn).dataType match {
      case ByteType | ShortType | IntegerType | LongType =>
      case other =>
        throw invalid(
          s"the id column '$idColumn' is of type ${other.simpleString}; ids are whole numbers of up to 64 bits")
    }
    val embeddings = EmbeddingColumn.of(field(dataset.schema, embeddingColumn))
    val selected = dataset.select(column(dataset, idColumn).cast(LongType), column(dataset, embeddingColumn))
    new EmbeddingRows(selected, embeddings)
  }

  private def give(row: InternalRow, embeddings: EmbeddingColumn, sink: RowSink): Unit =
    if (row.isNullAt(IdOrdinal)) sink.nullId()
    else if (row.isNullAt(EmbeddingOrdinal)) sink.nullEmbedding(row.getLong(IdOrdinal))
    else embeddings.give(row.getLong(IdOrdinal), row, sink)

  private def field(schema: StructType, name: String): StructField =
    schema.fields.find(_.name == name).getOrElse {
      throw invalid(s"there is no column '$name'; the columns are ${schema.fieldNames.mkString(", ")}")
    }

  private def column(dataset: Dataset[_], name: String): Column =
    dataset.col("`" + name.replace("`", "``") + "`")

  private[spark] def invalid(message: String): FaissIndexException = new FaissIndexException(Kind.INVALID_SPEC, message)
}
