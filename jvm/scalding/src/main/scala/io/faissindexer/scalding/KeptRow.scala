package io.faissindexer.scalding

import io.faissindexer.mapreduce.input.EmbeddingRow
import io.faissindexer.stages.RowSink

/** A row that outlives its reader, with what it has and lacks. */
private[scalding] final case class KeptRow(id: Option[Long], embedding: Array[Float], lacksComponent: Boolean)

private[scalding] object KeptRow {

  def of(row: EmbeddingRow): KeptRow = {
    var kept = KeptRow(None, null, lacksComponent = false)
    row.giveTo(new RowSink {
      override def add(id: Long, embedding: Array[Float]): Unit =
        kept = KeptRow(Some(id), embedding.clone(), lacksComponent = false)

      override def add(id: Long, embedding: Array[Double]): Unit = add(id, embedding.map(_.toFloat))

      override def nullId(): Unit = ()

      override def nullEmbedding(id: Long): Unit = kept = KeptRow(Some(id), null, lacksComponent = false)

      override def nullComponent(id: Long): Unit = kept = KeptRow(Some(id), null, lacksComponent = true)
    })
    kept
  }
}

private[scalding] case object KeptRows extends EmbeddingReader[KeptRow] {

  override def give(row: KeptRow, sink: RowSink): Unit = row.id match {
    case None => sink.nullId()
    case Some(id) if row.lacksComponent => sink.nullComponent(id)
    case Some(id) if row.embedding == null => sink.nullEmbedding(id)
    case Some(id) => sink.add(id, row.embedding)
  }
}
