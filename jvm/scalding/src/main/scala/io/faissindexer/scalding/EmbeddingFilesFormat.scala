package io.faissindexer.scalding

import scala.collection.JavaConverters._

import io.faissindexer.mapreduce.input.{EmbeddingInputFormat, EmbeddingRow}
import org.apache.hadoop.io.NullWritable
import org.apache.hadoop.mapred.{FileSplit, InputFormat, InputSplit, JobConf, RecordReader, Reporter}
import org.apache.hadoop.mapreduce.{Job, TaskAttemptID}
import org.apache.hadoop.mapreduce.lib.input.{FileSplit => NewFileSplit}
import org.apache.hadoop.mapreduce.task.TaskAttemptContextImpl

/** The row that a reader is at. */
private[scalding] final class CurrentRow {
  var row: EmbeddingRow = _
}

/** The input format of the MapReduce driver behind Hadoop's first interface, which is the one that Cascading knows. */
final class EmbeddingFilesFormat extends InputFormat[NullWritable, CurrentRow] {
  private val format = new EmbeddingInputFormat

  override def getSplits(configuration: JobConf, wanted: Int): Array[InputSplit] =
    format.getSplits(Job.getInstance(configuration)).asScala.toArray.map { case split: NewFileSplit =>
      new FileSplit(split.getPath, split.getStart, split.getLength, split.getLocations): InputSplit
    }

  override def getRecordReader(
      part: InputSplit,
      configuration: JobConf,
      reporter: Reporter): RecordReader[NullWritable, CurrentRow] = {
    val file = part.asInstanceOf[FileSplit]
    val split = new NewFileSplit(file.getPath, file.getStart, file.getLength, file.getLocations)
    val attempt = Option(configuration.get("mapreduce.task.attempt.id")).fold(new TaskAttemptID)(TaskAttemptID.forName)
    val context = new TaskAttemptContextImpl(configuration, attempt)
    val rows = format.createRecordReader(split, context)
    rows.initialize(split, context)
    new RecordReader[NullWritable, CurrentRow] {
      override def next(key: NullWritable, value: CurrentRow): Boolean = {
        val isThere = rows.nextKeyValue()
        if (isThere) value.row = rows.getCurrentValue
        isThere
      }

      override def createKey(): NullWritable = NullWritable.get()

      override def createValue(): CurrentRow = new CurrentRow

      override def getPos: Long = file.getStart + (getProgress * file.getLength).toLong

      override def getProgress: Float = rows.getProgress

      override def close(): Unit = rows.close()
    }
  }
}
