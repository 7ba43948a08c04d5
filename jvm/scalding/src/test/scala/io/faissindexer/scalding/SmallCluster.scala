package io.faissindexer.scalding

import java.io.File
import java.nio.file.{Files, Path}

import scala.collection.JavaConverters._

import org.apache.hadoop.conf.Configuration
import org.apache.hadoop.fs.{FileSystem, Path => HadoopPath}
import org.apache.hadoop.hdfs.MiniDFSCluster
import org.apache.hadoop.mapreduce.v2.MiniMRYarnCluster

/** HDFS and YARN inside the process of the tests; tasks have JVMs of their own. */
final class SmallCluster private {
  import SmallCluster._

  private val directory = Rows.newDirectory()
  private val settings = new Configuration()
  settings.set("hadoop.tmp.dir", directory.resolve("tmp").toString)
  settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory.resolve("hdfs").toString)
  // A file is closed when its last block is known, which is looked for after 0.4 seconds otherwise: jobs have many.
  settings.set("dfs.client.block.write.locateFollowingBlock.initial.delay.ms", "20")
  settings.set("dfs.client.block.write.locateFollowingBlock.retries", "10")
  private val storage = new MiniDFSCluster.Builder(settings).numDataNodes(1).build()
  storage.waitActive()
  for ((key, value) <- Seq(
      FileSystem.FS_DEFAULT_NAME_KEY -> files.getUri.toString,
      "yarn.nodemanager.resource.memory-mb" -> "8192",
      "yarn.scheduler.minimum-allocation-mb" -> "128",
      "yarn.nodemanager.vmem-check-enabled" -> "false",
      "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage" -> "99.9",
      // Containers are handed out with these beats, a second apart otherwise.
      "yarn.resourcemanager.nodemanagers.heartbeat-interval-ms" -> MillisBetweenLooks,
      "yarn.scheduler.capacity.node-locality-delay" -> "-1")) settings.set(key, value)
  private val yarn = new MiniMRYarnCluster("faiss-indexer", 1)
  yarn.init(settings)
  yarn.start()

  def files: FileSystem = storage.getFileSystem

  /** What jobs have left where they keep what is temporary. */
  def filesOfJobs: Set[String] = {
    val directory = new HadoopPath(configuration.get("hadoop.tmp.dir"))
    if (files.exists(directory)) {
      val listed = files.listFiles(directory, true)
      Iterator.continually(listed).takeWhile(_.hasNext).map(_.next().getPath.toString).toSet
    } else Set.empty
  }

  /** The names of all that there have been, by their ids. */
  def applications: Map[String, String] =
    yarn.getResourceManager.getRMContext.getRMApps.asScala.map { case (id, job) => id.toString -> job.getName }.toMap

  /** For jobs whose tasks have everything of this process on their class path. */
  def configuration: Configuration = jobs(System.getProperty("faissindexer.test.classpath"))

  /** A directory of Hadoop's configuration, for jobs whose tasks have nothing but Hadoop on their class path. */
  def site(): Path = {
    val hadoop = System.getProperty("faissindexer.test.classpath").split(File.pathSeparator).filterNot { entry =>
      NotOfHadoop.exists(entry.contains)
    }
    val configuration = jobs(hadoop.mkString(File.pathSeparator))
    val site = Files.createDirectory(directory.resolve("site"))
    // Later files replace what core-site.xml says, with their defaults too.
    for (name <- Seq("core", "hdfs", "yarn", "mapred")) {
      val stream = Files.newOutputStream(site.resolve(s"$name-site.xml"))
      try configuration.writeXml(stream)
      finally stream.close()
    }
    site
  }

  private def jobs(classPathOfTasks: String): Configuration = {
    val configuration = new Configuration(false)
    yarn.getConfig.asScala.foreach(entry => configuration.set(entry.getKey, entry.getValue))
    val classPath = classPathOfTasks.replace(File.pathSeparatorChar, ',')
    val options = s"$Brisk ${System.getProperty("faissindexer.test.openModules")}"
    for ((key, value) <- Seq(
        "mapreduce.framework.name" -> "yarn",
        "yarn.is.minicluster" -> "false",
        "yarn.application.classpath" -> classPath,
        "mapreduce.application.classpath" -> classPath,
        "mapreduce.map.java.opts" -> options,
        "mapreduce.reduce.java.opts" -> options,
        "yarn.app.mapreduce.am.resource.mb" -> "512",
        "yarn.app.mapreduce.am.command-opts" -> s"-Xmx300m $Brisk",
        "yarn.app.mapreduce.am.staging-dir" -> "/staging",
        "yarn.app.mapreduce.am.scheduler.heartbeat.interval-ms" -> MillisBetweenLooks,
        "mapreduce.task.timeout.check-interval-ms" -> "1000",
        "mapreduce.client.completion.pollinterval" -> MillisBetweenLooks,
        "cascading.flow.job.pollinginterval" -> MillisBetweenLooks)) configuration.set(key, value)
    configuration
  }

  /** Ends the processes of tasks; HDFS is all in this one. */
  private def stop(): Unit = yarn.stop()
}

object SmallCluster {

  /** The one of all tests, for as long as their process lives. */
  lazy val shared: SmallCluster = {
    val cluster = new SmallCluster
    Runtime.getRuntime.addShutdownHook(new Thread(new Runnable { override def run(): Unit = cluster.stop() }))
    cluster
  }

  private val MillisBetweenLooks = "100"
  /** Tasks are short: most of what they cost is the start of their JVM. */
  private val Brisk = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -XX:-UsePerfData"
  /** What a job has to bring along, by its place on the class path. */
  private val NotOfHadoop = Seq(
    "faiss", "/classes/", "/resources/", "parquet", "com.twitter", "com.stripe", "cascading", "riffle", "jgrapht",
    "janino", "scala", "com.esotericsoftware", "objenesis")
}
