package io.faissindexer.scalding

import cascading.flow.FlowProcess
import cascading.scheme.{Scheme, SinkCall, SourceCall}
import cascading.tap.Tap
import cascading.tuple.{Fields, Tuple}
import com.twitter.scalding.{FixedPathSource, HadoopSchemeInstance, Mappable, TupleConverter}
import io.faissindexer.mapreduce.input.{EmbeddingRow, InputSettings}
import io.faissindexer.stages.RowSink
import org.apache.hadoop.io.NullWritable
import org.apache.hadoop.mapred.{JobConf, OutputCollector, RecordReader}
import org.apache.hadoop.mapreduce.lib.input.FileInputFormat

/** Files and directories of embeddings, each stored as its first bytes say. A row is good until the next one comes. */
private[scalding] final case class EmbeddingFiles(inputs: Seq[String], idColumn: String, embeddingColumn: String)
    extends FixedPathSource(inputs: _*)
    with Mappable[EmbeddingRow] {

  override def converter[U >: EmbeddingRow]: TupleConverter[U] =
    TupleConverter.asSuperConverter[EmbeddingRow, U](TupleConverter.singleConverter[EmbeddingRow])

  override def hdfsScheme =
    HadoopSchemeInstance(new EmbeddingFilesScheme(idColumn, embeddingColumn).asInstanceOf[Scheme[_, _, _, _, _]])
}

private[scalding] case object EmbeddingRows extends EmbeddingReader[EmbeddingRow] {

  override def give(row: EmbeddingRow, sink: RowSink): Unit = row.giveTo(sink)
}

/** Lets Cascading read what the MapReduce driver reads. */
private[scalding] final class EmbeddingFilesScheme(idColumn: String, embeddingColumn: String)
    extends Scheme[JobConf, RecordReader[NullWritable, CurrentRow], OutputCollector[_, _], CurrentRow, Unit](
      new Fields("row")) {

  private type Files = Tap[JobConf, RecordReader[NullWritable, CurrentRow], OutputCollector[_, _]]

  override def sourceConfInit(flow: FlowProcess[_ <: JobConf], files: Files, configuration: JobConf): Unit = {
    configuration.setInputFormat(classOf[EmbeddingFilesFormat])
    configuration.set(InputSettings.ID_COLUMN, idColumn)
    configuration.set(InputSettings.EMBEDDING_COLUMN, embeddingColumn)
    // Tables are directories of partitions.
    configuration.setBooleanIfUnset(FileInputFormat.INPUT_DIR_RECURSIVE, true)
  }

  override def sourcePrepare(
      flow: FlowProcess[_ <: JobConf],
      call: SourceCall[CurrentRow, RecordReader[NullWritable, CurrentRow]]): Unit = call.setContext(new CurrentRow)

  override def source(
      flow: FlowProcess[_ <: JobConf],
      call: SourceCall[CurrentRow, RecordReader[NullWritable, CurrentRow]]): Boolean = {
    val isThere = call.getInput.next(NullWritable.get(), call.getContext)
    if (isThere) call.getIncomingEntry.setTuple(new Tuple(call.getContext.row))
    isThere
  }

  override def sinkConfInit(flow: FlowProcess[_ <: JobConf], files: Files, configuration: JobConf): Unit = readOnly()

  override def sink(flow: FlowProcess[_ <: JobConf], call: SinkCall[Unit, OutputCollector[_, _]]): Unit = readOnly()

  private def readOnly(): Nothing = throw new UnsupportedOperationException("files of embeddings are only read")
}
