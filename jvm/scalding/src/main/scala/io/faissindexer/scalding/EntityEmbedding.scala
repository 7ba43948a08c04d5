package io.faissindexer.scalding

/** A thing's id and its embedding. */
final case class EntityEmbedding[T](id: T, embedding: Array[Float])
