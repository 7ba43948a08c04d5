package io.faissindexer.spark

import io.faissindexer.FaissIndexException

/** Finds what went wrong below the exceptions that Spark puts around it. */
private[spark] object Failures {

  /** Runs work; a FaissIndexException comes out as itself, however deep it was thrown. */
  def unwrapped[T](work: => T): T =
    try work
    catch {
      case failure: Exception =>
        throw chain(failure).collectFirst { case inner: FaissIndexException => inner }.getOrElse(failure)
    }

  /** One line that says what is at the bottom of a failure. */
  def summary(failure: Throwable): String = {
    val root = chain(failure).last
    Option(root.getMessage).filter(_.nonEmpty).getOrElse(root.toString).linesIterator.next()
  }

  private def chain(failure: Throwable): List[Throwable] =
    Iterator.iterate(failure)(_.getCause).takeWhile(_ != null).toList
}
