package io.faissindexer.scalding

import scala.concurrent.{Await, Future, Promise}
import scala.concurrent.duration.Duration
import scala.util.{Failure, Try}

import com.twitter.scalding.Execution

/** Where work that waits has its Executions run. */
private[scalding] trait Executions {

  /** Waits for an Execution and returns its result, or throws its failure. */
  def await[A](execution: Execution[A]): A
}

/**
 * Makes one Execution of work that waits for others. Those become parts of it, as if they had been chained by flatMap:
 * they run in its mode and configuration, their counters are its counters, and no thread of its pool is blocked.
 */
private[scalding] object Interleaved {

  def apply[T](threadName: String)(work: Executions => T): Execution[T] =
    Execution.fromFuture(_ => begin(threadName, work)).flatMap(_.execution)

  /** What the work wants next. */
  private sealed trait Step[T] {
    def execution: Execution[T]
  }

  private final class Ended[T](result: Try[T]) extends Step[T] {
    override def execution: Execution[T] = Execution.fromTry(result)
  }

  private final class Needs[T, A](needed: Execution[A]) extends Step[T] {
    val answer: Promise[Try[A]] = Promise()
    val next: Promise[Step[T]] = Promise()

    override def execution: Execution[T] =
      needed.liftToTry
        .flatMap { result =>
          Execution.fromFuture { _ =>
            answer.success(result)
            next.future
          }
        }
        .flatMap(_.execution)
  }

  private def begin[T](threadName: String, work: Executions => T): Future[Step[T]] = {
    val first = Promise[Step[T]]()
    val worker = new Worker(first, work)
    val thread = new Thread(worker, threadName)
    thread.setDaemon(true)
    thread.start()
    first.future
  }

  /** The thread that works and the threads of the Execution take turns. */
  private final class Worker[T](first: Promise[Step[T]], work: Executions => T) extends Runnable with Executions {
    private var next = first

    override def run(): Unit = {
      val result =
        try Try(work(this))
        catch { case fatal: Throwable => Failure(new IllegalStateException(s"the work has died: $fatal", fatal)) }
      next.success(new Ended(result))
    }

    override def await[A](execution: Execution[A]): A = {
      val needs = new Needs[T, A](execution)
      val asked = next
      next = needs.next
      asked.success(needs)
      Await.result(needs.answer.future, Duration.Inf).get
    }
  }
}
