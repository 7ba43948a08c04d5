package io.faissindexer.spark

import org.apache.spark.SparkContext
import org.apache.spark.util.{DoubleAccumulator, LongAccumulator}

/** What a stage has done, as Spark's web page shows it. */
private[spark] final case class StageMetrics(rows: LongAccumulator, bytes: LongAccumulator, seconds: DoubleAccumulator)

private[spark] object StageMetrics {

  def registered(context: SparkContext): StageMetrics =
    StageMetrics(
      context.longAccumulator("faiss.rows"),
      context.longAccumulator("faiss.bytes"),
      context.doubleAccumulator("faiss.seconds"))
}
