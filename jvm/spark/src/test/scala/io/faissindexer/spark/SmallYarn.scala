package io.faissindexer.spark

import java.io.{ByteArrayOutputStream, File}
import java.nio.charset.StandardCharsets
import java.nio.file.{Files, Path}

import scala.collection.JavaConverters._

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{CommonConfigurationKeysPublic, FileSystem, Path => HadoopPath}
import org.apache.hadoop.fs.permission.FsPermission
import org.apache.hadoop.hdfs.MiniDFSCluster
import org.apache.hadoop.io.IOUtils
import org.apache.hadoop.yarn.conf.YarnConfiguration
import org.apache.hadoop.yarn.server.MiniYARNCluster
import org.apache.hadoop.yarn.server.resourcemanager.rmapp.RMApp
import org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler
import org.junit.Assert.assertEquals

/** HDFS and YARN inside the process of the tests, and the launcher on a machine that submits to them. */
final class SmallYarn(given: Configuration) extends AutoCloseable {
  private val settings = new Configuration(given)
  settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, LocalSpark.directory().toString)

  private val hdfs = new MiniDFSCluster.Builder(settings).numDataNodes(1).build()
  hdfs.waitActive()

  val files: FileSystem = hdfs.getFileSystem
  files.setPermission(new HadoopPath("/"), new FsPermission("777"))

  settings.set(FileSystem.FS_DEFAULT_NAME_KEY, files.getUri.toString)
  // The usual one wants a file of queues.
  settings.set(YarnConfiguration.RM_SCHEDULER, classOf[FifoScheduler].getName)
  settings.set(YarnConfiguration.RM_SCHEDULER_MINIMUM_ALLOCATION_MB, "128")
  settings.set(YarnConfiguration.NM_MAX_PER_DISK_UTILIZATION_PERCENTAGE, "99.9")

  private val yarn = new MiniYARNCluster("faiss-indexer", 1, 1, 1)
  yarn.init(settings)
  yarn.start()

  private val clientSettings = write(yarn.getConfig)

  /** What was set, and not what every Hadoop has, as a machine that submits has it. */
  private def write(configuration: Configuration): Path = {
    val site = new Configuration(false)
    configuration.asScala
      .filterNot(entry => configuration.getPropertySources(entry.getKey).last.endsWith("-default.xml"))
      .foreach(entry => site.set(entry.getKey, entry.getValue))
    // A class that only the process of the tests has.
    site.unset(CommonConfigurationKeysPublic.NET_TOPOLOGY_NODE_SWITCH_MAPPING_IMPL_KEY)
    val directory = LocalSpark.directory()
    // What is in the file of one part is overruled by the defaults of another.
    Seq("core", "hdfs", "yarn").foreach { part =>
      val stream = Files.newOutputStream(directory.resolve(s"$part-site.xml"))
      try site.writeXml(stream)
      finally stream.close()
    }
    directory
  }

  private def applications: Map[AnyRef, RMApp] =
    yarn.getResourceManager.getRMContext.getRMApps.asScala.toMap

  /** Runs the launcher until its job is done, and gives back what YARN knows of the job. */
  def submit(environment: (String, String)*)(arguments: String*): RMApp = {
    val said = LocalSpark.directory().resolve("said").toFile
    val before = applications.keySet
    val command = Seq(
      System.getProperty("faissindexer.test.yarnLauncher"), "--master", "yarn", "--num-executors", "2",
      "--executor-memory", "512m", "--driver-memory", "512m",
      "--conf", "spark.yarn.jars=local:" + System.getProperty("faissindexer.test.yarnJars") + "/*",
      "--conf", "spark.ui.enabled=false") ++ arguments
    val builder = new ProcessBuilder(command: _*).redirectErrorStream(true).redirectOutput(said)
    builder.environment().remove("SPARK_HOME")
    builder.environment().put("HADOOP_CONF_DIR", clientSettings.toString)
    environment.foreach { case (name, value) => builder.environment().put(name, value) }
    val exitCode = builder.start().waitFor()
    assertEquals(new String(Files.readAllBytes(said.toPath), StandardCharsets.UTF_8), 0, exitCode)
    val added = applications -- before
    assertEquals(added.toString, 1, added.size)
    added.values.head
  }

  /** Containers leave their logs in directories of their own. */
  def containers(application: RMApp): Int = {
    val logs = yarn.getNodeManager(0).getConfig.get(YarnConfiguration.NM_LOG_DIRS)
    new File(logs, application.getApplicationId.toString).list().length
  }

  def names(directory: String): Seq[String] =
    files.listStatus(new HadoopPath(directory)).map(_.getPath.getName).sorted.toSeq

  def bytes(file: String): Array[Byte] = {
    val all = new ByteArrayOutputStream()
    IOUtils.copyBytes(files.open(new HadoopPath(file)), all, 4096, true)
    all.toByteArray
  }

  override def close(): Unit = {
    yarn.stop()
    hdfs.shutdown()
  }
}
