package io.faissindexer.spark

import io.faissindexer.stages.RowSink
import org.apache.spark.sql.catalyst.InternalRow
import org.apache.spark.sql.catalyst.util.ArrayData
import org.apache.spark.sql.types._

import EmbeddingRows.EmbeddingOrdinal

/** How one type of column holds an embedding. Rows given to it have one. */
private[spark] sealed trait EmbeddingColumn extends Serializable {
  def dimension(row: InternalRow): Int
  def give(id: Long, row: InternalRow, sink: RowSink): Unit
}

private[spark] object EmbeddingColumn {

  def of(field: StructField): EmbeddingColumn =
    field.dataType match {
      case ArrayType(FloatType, mayHaveNulls) => FloatArrayColumn(mayHaveNulls)
      case ArrayType(DoubleType, mayHaveNulls) => DoubleArrayColumn(mayHaveNulls)
      case vector: UserDefinedType[_] if VectorColumn.isStoredAs(vector.sqlType) => VectorColumn
      case other =>
        throw EmbeddingRows.invalid(
          s"the embedding column '${field.name}' is of type ${other.simpleString}; " +
            "embeddings are array<float>, array<double> or the vectors of Spark ML")
    }
}

private[spark] sealed abstract class ArrayColumn(mayHaveNulls: Boolean) extends EmbeddingColumn {

  override def dimension(row: InternalRow): Int = row.getArray(EmbeddingOrdinal).numElements()

  override def give(id: Long, row: InternalRow, sink: RowSink): Unit = {
    val array = row.getArray(EmbeddingOrdinal)
    if (mayHaveNulls && hasNull(array)) sink.nullComponent(id) else giveWhole(id, array, sink)
  }

  protected def giveWhole(id: Long, array: ArrayData, sink: RowSink): Unit

  private def hasNull(array: ArrayData): Boolean = {
    val components = array.numElements()
    var at = 0
    while (at < components && !array.isNullAt(at)) at += 1
    at < components
  }
}

private[spark] final case class FloatArrayColumn(mayHaveNulls: Boolean) extends ArrayColumn(mayHaveNulls) {
  override protected def giveWhole(id: Long, array: ArrayData, sink: RowSink): Unit =
    sink.add(id, array.toFloatArray())
}

private[spark] final case class DoubleArrayColumn(mayHaveNulls: Boolean) extends ArrayColumn(mayHaveNulls) {
  override protected def giveWhole(id: Long, array: ArrayData, sink: RowSink): Unit =
    sink.add(id, array.toDoubleArray())
}

/** The vectors of Spark ML, told by how they are stored: Spark ML itself need not be there. */
private[spark] case object VectorColumn extends EmbeddingColumn {
  private val StoredFields = Seq("type", "size", "indices", "values")
  private val SparseType = 0
  private val TypeOrdinal = 0
  private val SizeOrdinal = 1
  private val IndicesOrdinal = 2
  private val ValuesOrdinal = 3

  def isStoredAs(storage: DataType): Boolean = storage match {
    case struct: StructType => struct.fieldNames.toSeq == StoredFields
    case _ => false
  }

  override def dimension(row: InternalRow): Int = {
    val vector = stored(row)
    if (isSparse(vector)) vector.getInt(SizeOrdinal) else vector.getArray(ValuesOrdinal).numElements()
  }

  override def give(id: Long, row: InternalRow, sink: RowSink): Unit = {
    val vector = stored(row)
    val values = vector.getArray(ValuesOrdinal).toDoubleArray()
    sink.add(id, if (isSparse(vector)) spread(vector, values) else values)
  }

  private def spread(vector: InternalRow, values: Array[Double]): Array[Double] = {
    val dense = new Array[Double](vector.getInt(SizeOrdinal))
    val indices = vector.getArray(IndicesOrdinal)
    values.indices.foreach(at => dense(indices.getInt(at)) = values(at))
    dense
  }

  private def isSparse(vector: InternalRow): Boolean = vector.getByte(TypeOrdinal) == SparseType

  private def stored(row: InternalRow): InternalRow = row.getStruct(EmbeddingOrdinal, StoredFields.size)
}
