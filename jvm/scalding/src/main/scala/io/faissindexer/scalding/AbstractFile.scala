package io.faissindexer.scalding

import java.nio.file.Path

import org.apache.hadoop.fs.{Path => HadoopPath}

/** Where a file or directory is; making one touches nothing. */
final class AbstractFile private (val path: String) extends Serializable {

  override def equals(other: Any): Boolean = other match {
    case file: AbstractFile => path == file.path
    case _ => false
  }

  override def hashCode: Int = path.hashCode

  override def toString: String = path
}

object AbstractFile {

  /** A path or URI; without a scheme, it is of the default file system of the mode that the job runs in. */
  def apply(path: String): AbstractFile = new AbstractFile(path)

  /** A path of Hadoop's. */
  def apply(path: HadoopPath): AbstractFile = new AbstractFile(path.toString)

  /** A path on the disk of the machine. */
  def apply(path: Path): AbstractFile = new AbstractFile(path.toUri.toString)
}
