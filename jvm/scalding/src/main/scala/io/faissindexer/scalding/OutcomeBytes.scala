package io.faissindexer.scalding

import java.io.{ByteArrayInputStream, ByteArrayOutputStream, ObjectInputStream, ObjectOutputStream}

import cascading.tuple.{Fields, Tuple}
import io.faissindexer.stages.StageOutcome

/** Outcomes on their way from a task to the driver. */
private[scalding] object OutcomeBytes {
  val Field: Fields = new Fields("outcome")

  def tuple(outcome: StageOutcome): Tuple = {
    val bytes = new ByteArrayOutputStream
    val stream = new ObjectOutputStream(bytes)
    stream.writeObject(outcome)
    stream.close()
    new Tuple(bytes.toByteArray)
  }

  def read(bytes: Array[Byte]): StageOutcome =
    new ObjectInputStream(new ByteArrayInputStream(bytes)).readObject().asInstanceOf[StageOutcome]
}
