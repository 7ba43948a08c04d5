package io.faissindexer.spark

import java.io.IOException

import io.faissindexer.{FaissIndexException, IndexReceipt, IndexSpec, InputColumns}
import io.faissindexer.FaissIndexException.Kind
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
    Failures.unwrapped(build.run(spec, qualified(outputDirectory, configuration)))

  private def qualified(outputDirectory: String, configuration: Configuration): String =
    try HadoopFileSystemHook.qualify(outputDirectory, configuration)
    catch {
      case unusable: IOException =>
        val message = s"the output directory '$outputDirectory' cannot be used: ${unusable.getMessage}"
        throw new FaissIndexException(Kind.INVALID_SPEC, message, unusable)
    }
}
