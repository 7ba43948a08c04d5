package io.faissindexer.scalding

import org.slf4j.LoggerFactory

/** Says how far a build is where nobody else is asked to. */
private[scalding] object StageLog {
  private val Logger = LoggerFactory.getLogger(classOf[FaissIndexer])

  val info: String => Unit = line => Logger.info(line)
}
