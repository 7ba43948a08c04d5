package io.faissindexer.spark

import io.faissindexer.{IndexReceipt, IndexSpec, InputColumns}
import io.faissindexer.hadoop.HadoopFileSystemHook
import io.faissindexer.stages.IndexBuild
import org.apache.hadoop.conf.Configuration
import org.apache.spark.sql.Dataset

/** Builds an index of the rows of a Dataset. */
object FaissIndexer {

  /**
   * Builds an index of all rows and waits for it. The Dataset is read more than once, each partition where it lies,
   * and must hold the same rows every time.
   *
   * @param outputDirectory a path of any Hadoop file system that driver and executors share
   * @throws io.faissindexer.FaissIndexException when the index cannot be built; nothing is left behind then
   */
  def build(
      dataset: Dataset[_],
      spec: IndexSpec,
      outputDirectory: String,
      idColumn: String = InputColumns.ID,
      embeddingColumn: String = InputColumns.EMBEDDING): IndexReceipt = {
    val context = dataset.sparkSession.sparkContext
    val engine = new SparkEngine(context, EmbeddingRows.of(dataset, idColumn, embeddingColumn), "the dataset")
    run(new IndexBuild(engine), spec, outputDirectory, context.hadoopConfiguration)
  }

  private[spark] def run(
      build: IndexBuild,
      spec: IndexSpec,
      outputDirectory: String,
      configuration: Configuration): IndexReceipt =
    Failures.unwrapped(build.run(spec, HadoopFileSystemHook.qualifyOutput(outputDirectory, configuration)))
}
