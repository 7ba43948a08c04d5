package io.faissindexer.scalding

import io.faissindexer.stages.{FirstDimension, RowSink, RowSource}

/** How the rows of a pipe hold embeddings. Travels to the tasks. */
private[scalding] trait EmbeddingReader[T] extends Serializable {

  def give(row: T, sink: RowSink): Unit

  /** The components of the row's embedding when it has one. */
  final def dimension(row: T): Option[Int] = {
    val found = FirstDimension.of(source(Iterator.single(row)))
    if (found.isPresent) Some(found.getAsInt) else None
  }

  /** Makes rows a source for a stage. */
  final def source(rows: Iterator[T]): RowSource = new RowSource {
    override def forEachRow(sink: RowSink): Unit = rows.foreach(give(_, sink))
  }
}

private[scalding] case object EntityEmbeddings extends EmbeddingReader[EntityEmbedding[Long]] {

  override def give(row: EntityEmbedding[Long], sink: RowSink): Unit =
    if (row.embedding == null) sink.nullEmbedding(row.id) else sink.add(row.id, row.embedding)
}
