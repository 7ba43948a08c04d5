package io.faissindexer.scalding

import java.io.{BufferedInputStream, BufferedOutputStream, ObjectInputStream, ObjectOutputStream}
import java.util.UUID

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.Path

/** A stage in a file beside the temporary files of the build, which go with whatever build comes next. */
private[scalding] object StageFile {

  def write(stage: java.io.Serializable, outputDirectory: String, configuration: Configuration): Path = {
    val file = new Path(s"$outputDirectory/_temporary/stage-${UUID.randomUUID()}")
    val stream = new ObjectOutputStream(new BufferedOutputStream(file.getFileSystem(configuration).create(file, false)))
    try stream.writeObject(stage)
    finally stream.close()
    file
  }

  def read[S](file: String, configuration: Configuration): S = {
    val path = new Path(file)
    val stream = new ObjectInputStream(new BufferedInputStream(path.getFileSystem(configuration).open(path)))
    try stream.readObject().asInstanceOf[S]
    finally stream.close()
  }

  def delete(file: Path, configuration: Configuration): Boolean =
    file.getFileSystem(configuration).delete(file, false)
}
