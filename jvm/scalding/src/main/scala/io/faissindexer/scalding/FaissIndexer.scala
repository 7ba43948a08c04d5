package io.faissindexer.scalding

import java.util.function.Consumer

import com.twitter.scalding.{Execution, TypedPipe}
import io.faissindexer.{IndexReceipt, IndexSpec, SpecKey}
import io.faissindexer.stages.IndexBuild

/** Builds indexes of embeddings. Nothing happens before the Execution runs, and no row leaves the tasks. */
trait FaissIndexer {

  /**
   * Builds an index and writes faiss.index and _SUCCESS, last, into the output directory. The pipe is computed once:
   * its rows are kept in a temporary place of Scalding's until the index is there.
   *
   * @param sampleRate the share of the rows to train on, fitted to the family
   * @param factoryString the index family in Faiss' notation
   */
  def build[D <: Distance[D]](
      pipe: TypedPipe[EntityEmbedding[Long]],
      sampleRate: Float,
      factoryString: String,
      metric: Metric[D],
      outputDirectory: AbstractFile): Execution[Unit] = {
    val spec = IndexSpec
      .builder()
      .factoryString(factoryString)
      .metric(metric.name)
      // As text, because 0.05f is another double than 0.05.
      .set(SpecKey.SAMPLE_RATE, sampleRate.toString)
      .build()
    build(pipe, spec, outputDirectory).unit
  }

  /** Builds an index of any spec. A spec with a dimension saves a pass over the rows. */
  def build(
      pipe: TypedPipe[EntityEmbedding[Long]],
      spec: IndexSpec,
      outputDirectory: AbstractFile): Execution[IndexReceipt] =
    pipe.forceToDiskExecution.flatMap { rows =>
      FaissIndexer.of(rows, EntityEmbeddings, "the pipe", spec, outputDirectory)
    }
}

object FaissIndexer extends FaissIndexer {

  /** Builds an index of rows that are the same each time they are computed: a stage does so once. */
  private[scalding] def of[T](
      rows: TypedPipe[T],
      reader: EmbeddingReader[T],
      input: String,
      spec: IndexSpec,
      outputDirectory: AbstractFile,
      progress: StageProgress = StageProgress.Logged): Execution[IndexReceipt] =
    Execution.getConfigMode.flatMap { case (config, mode) =>
      Interleaved("faiss-indexer build") { (executions: Executions) =>
        val tasks = StageTasks.in(config, mode, spec, outputDirectory.path, progress.say)
        val engine = new ScaldingEngine(rows, reader, input, tasks, executions, progress)
        val announcements = new Consumer[String] { override def accept(note: String): Unit = progress.say(note) }
        new IndexBuild(engine, announcements).run(spec, tasks.outputDirectory)
      }
    }
}
