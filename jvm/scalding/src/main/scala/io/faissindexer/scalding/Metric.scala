package io.faissindexer.scalding

import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind

/** How far apart two embeddings are, in the terms of one metric; nearer ones come first. */
sealed trait Distance[D <: Distance[D]] extends Ordered[D] {
  def distance: Float

  override def compare(other: D): Int = java.lang.Float.compare(distance, other.distance)
}

/** The length of the difference. */
final case class L2Distance(distance: Float) extends Distance[L2Distance]

/** One minus the inner product. */
final case class InnerProductDistance(distance: Float) extends Distance[InnerProductDistance]

/** One minus the cosine of the angle. */
final case class CosineDistance(distance: Float) extends Distance[CosineDistance]

/** What an index is searched by. */
sealed abstract class Metric[D <: Distance[D]](val name: String) extends Serializable {
  override def toString: String = name
}

case object L2 extends Metric[L2Distance]("L2")

case object InnerProduct extends Metric[InnerProductDistance]("InnerProduct")

/** Embeddings are scaled to length 1. */
case object Cosine extends Metric[CosineDistance]("Cosine")

object Metric {

  /** The metrics by name. */
  val all: Seq[Metric[_ <: Distance[_]]] = Seq(L2, InnerProduct, Cosine)

  /**
   * The metric with a name, which is spelled exactly like this.
   *
   * @throws io.faissindexer.FaissIndexException when there is none
   */
  def fromString(name: String): Metric[_ <: Distance[_]] =
    all.find(_.name == name).getOrElse {
      val known = all.map(_.name).mkString(", ")
      throw new FaissIndexException(Kind.INVALID_SPEC, s"there is no metric '$name'; the metrics are $known")
    }
}
