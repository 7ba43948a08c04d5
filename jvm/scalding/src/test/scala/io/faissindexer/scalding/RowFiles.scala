package io.faissindexer.scalding

import java.nio.{ByteBuffer, ByteOrder}
import java.nio.charset.StandardCharsets

import io.faissindexer.Embeddings
import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path
import org.apache.hadoop.io.{BytesWritable, LongWritable, SequenceFile}
import org.apache.parquet.example.data.simple.SimpleGroupFactory
import org.apache.parquet.hadoop.example.ExampleParquetWriter
import org.apache.parquet.schema.MessageTypeParser

/** Rows in files, as users keep them. */
object RowFiles {
  type Writer = (Path, Configuration, Iterator[(Long, Array[Float])]) => Unit

  /** Deals the rows out to files, each in a directory of its own. */
  def write(
      rows: Embeddings,
      directory: Path,
      files: Int,
      writer: Writer,
      configuration: Configuration = new Configuration): Unit =
    for (file <- 0 until files) {
      val numbers = Iterator.range(file, rows.rows, files)
      val path = new Path(directory, s"day=$file/part-$file")
      writer(path, configuration, numbers.map(row => (rows.id(row), rows.vector(row))))
    }

  val text: Writer = (file, configuration, rows) => {
    val stream = file.getFileSystem(configuration).create(file)
    try
      rows.foreach { case (id, vector) =>
        stream.write(s"$id\t${vector.mkString(",")}\n".getBytes(StandardCharsets.UTF_8))
      } finally stream.close()
  }

  val sequence: Writer = (file, configuration, rows) => {
    val writer = SequenceFile.createWriter(
      configuration,
      SequenceFile.Writer.file(file),
      SequenceFile.Writer.keyClass(classOf[LongWritable]),
      SequenceFile.Writer.valueClass(classOf[BytesWritable]))
    try
      rows.foreach { case (id, vector) =>
        val bytes = ByteBuffer.allocate(4 * vector.length).order(ByteOrder.LITTLE_ENDIAN)
        bytes.asFloatBuffer().put(vector)
        writer.append(new LongWritable(id), new BytesWritable(bytes.array))
      } finally writer.close()
  }

  val parquet: Writer = (file, configuration, rows) => {
    val schema = MessageTypeParser.parseMessageType(
      """message row {
        |  required int64 entityId;
        |  required group embedding (LIST) { repeated group list { required float element; } }
        |}""".stripMargin)
    val groups = new SimpleGroupFactory(schema)
    val writer = ExampleParquetWriter.builder(file).withType(schema).withConf(configuration).build()
    try
      rows.foreach { case (id, vector) =>
        val group = groups.newGroup().append("entityId", id)
        val list = group.addGroup("embedding")
        vector.foreach(component => list.addGroup("list").append("element", component))
        writer.write(group)
      } finally writer.close()
  }
}
