package io.faissindexer.spark

import java.nio.file.{Files, Paths}

import io.faissindexer.{Embeddings, IndexSpec}
import io.faissindexer.kerberos.KerberosRealm
import org.apache.hadoop.fs.{Path => HadoopPath}
import org.apache.hadoop.yarn.api.records.FinalApplicationStatus
import org.apache.hadoop.yarn.server.resourcemanager.rmapp.RMApp
import org.junit.{AfterClass, BeforeClass, Test}
import org.junit.Assert._

/** The program as a user starts it, where YARN gives out the machines and asks for tickets. */
class YarnTest {
  import YarnTest._

  private def assertBuilt(application: RMApp, output: String): Unit = {
    assertEquals(FinalApplicationStatus.SUCCEEDED, application.getFinalApplicationStatus)
    assertTrue("a master and executors", cluster.containers(application) >= 3)
    assertEquals(Seq("_SUCCESS", "faiss.index", "faiss.manifest.json"), cluster.names(output))
    assertArrayEquals(Expected, cluster.bytes(s"$output/faiss.index"))
    val owner = cluster.files.getFileStatus(new HadoopPath(output, "faiss.index")).getOwner
    assertEquals(KerberosRealm.USER, owner)
    assertEquals("staged", Seq(), cluster.names(s"/user/${KerberosRealm.USER}/.sparkStaging"))
  }

  private def buildInto(output: String): Seq[String] =
    Seq("--input", "/rows", "--output", output, "--factory-string", Family, "--report", "false")

  @Test def aDriverWithAKeytabGivesTokensToExecutorsThatCannotGetTickets(): Unit = {
    val application = cluster.submit("SPARK_SUBMIT_OPTS" -> realm.optionsOfMachine(), "KRB5CCNAME" -> "/nowhere")(
      Seq(
        "--deploy-mode", "client", "--principal", realm.userPrincipal(), "--keytab", realm.userKeytab().toString,
        "--conf", "spark.yarn.am.extraJavaOptions=" + realm.optionsOfMachineWithoutTickets(),
        "--conf", "spark.executor.extraJavaOptions=" + realm.optionsOfMachineWithoutTickets()
      ) ++ buildInto("/client"): _*)
    assertBuilt(application, "/client")
  }

  @Test def aTicketOfTheUserIsEnoughForADriverInAContainer(): Unit = {
    val tickets = LocalSpark.directory().resolve("tickets")
    realm.writeTicketCache(tickets.toFile)
    val application =
      cluster.submit("SPARK_SUBMIT_OPTS" -> realm.optionsOfMachine(), "KRB5CCNAME" -> tickets.toString)(
        Seq(
          "--deploy-mode", "cluster",
          "--conf", "spark.driver.extraJavaOptions=" + realm.optionsOfMachineWithoutTickets(),
          "--conf", "spark.executor.extraJavaOptions=" + realm.optionsOfMachineWithoutTickets()
        ) ++ buildInto("/cluster"): _*)
    assertBuilt(application, "/cluster")
  }
}

object YarnTest {
  private val Rows = new Embeddings(2000, 16)
  private val Family = "IVF16,SQ8"
  private var realm: KerberosRealm = _
  private var cluster: SmallYarn = _

  private lazy val Expected: Array[Byte] = {
    val spec = IndexSpec.builder().factoryString(Family).report(false).build()
    val receipt = io.faissindexer.FaissIndexer.build(Rows.partitions(1, 0), spec, LocalSpark.directory() + "/out")
    Files.readAllBytes(Paths.get(receipt.index()))
  }

  @BeforeClass def start(): Unit = {
    val rows = LocalSpark.directory().resolve("rows")
    Tables.of(LocalSpark.session, Rows, 3, 0).write.parquet(rows.toString)
    LocalSpark.session.stop()
    realm = new KerberosRealm()
    cluster = new SmallYarn(realm.settings())
    cluster.files.copyFromLocalFile(new HadoopPath(rows.toString), new HadoopPath("/rows"))
  }

  @AfterClass def stop(): Unit = {
    if (cluster != null) cluster.close()
    if (realm != null) realm.close()
  }
}
