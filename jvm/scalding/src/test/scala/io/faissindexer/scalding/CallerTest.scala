package io.faissindexer.scalding

import java.nio.file.Paths

import com.twitter.scalding.{Execution, TypedPipe}
import io.faissindexer.FaissIndexException
import io.faissindexer.FaissIndexException.Kind
import org.apache.hadoop.fs.{Path => HadoopPath}
import org.junit.Assert._
import org.junit.Test
import org.junit.function.ThrowingRunnable

/** What callers write; the first half of it is that it compiles. */
class CallerTest {

  /** The shape of jobs that were written for the interface before. */
  private final class Job[D <: Distance[D]](indexer: FaissIndexer, metric: Metric[D]) {
    def run(pipe: TypedPipe[EntityEmbedding[Long]], rate: Float, factory: String, output: String): Execution[Unit] =
      indexer.build(pipe, rate, factory, metric, AbstractFile(output)).onComplete(_ => ())
  }

  private object Unbuilt extends FaissIndexer {
    override def build[D <: Distance[D]](
        pipe: TypedPipe[EntityEmbedding[Long]],
        sampleRate: Float,
        factoryString: String,
        metric: Metric[D],
        outputDirectory: AbstractFile): Execution[Unit] = Execution.unit
  }

  @Test def jobsPassTheMetricOnWithTheTypeOfItsDistance(): Unit = {
    val pipe = TypedPipe.from(Seq(EntityEmbedding(1L, Array(1f, 2f))))
    val execution: Execution[Unit] = new Job(Unbuilt, L2).run(pipe, 0.05f, "IVF16,Flat", "/out")
    assertNotNull(execution)
    assertNotNull(new Job(FaissIndexer, Cosine).run(pipe, 0.05f, "IVF16,Flat", "/out"))
  }

  @Test def metricsAreFoundByTheirExactNames(): Unit = {
    assertEquals(
      Seq(L2, InnerProduct, Cosine), Seq("L2", "InnerProduct", "Cosine").map(Metric.fromString))
    val failure = assertThrows(
      classOf[FaissIndexException],
      new ThrowingRunnable { override def run(): Unit = { Metric.fromString("l2"); () } })
    assertEquals("there is no metric 'l2'; the metrics are L2, InnerProduct, Cosine", failure.getMessage)
    assertEquals(Kind.INVALID_SPEC, failure.kind())
  }

  @Test def nearerDistancesComeFirst(): Unit =
    assertEquals(Seq(1f, 2f, 3f), Seq(L2Distance(3), L2Distance(1), L2Distance(2)).sorted.map(_.distance))

  @Test def filesAreMadeOfPathsAndText(): Unit = {
    assertEquals("hdfs://cluster/a b", AbstractFile("hdfs://cluster/a b").path)
    assertEquals(AbstractFile("/a"), AbstractFile(new HadoopPath("/a")))
    assertEquals("file:///a", AbstractFile(Paths.get("/a")).path.stripSuffix("/"))
  }
}
