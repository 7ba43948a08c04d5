package io.faissindexer.mapreduce;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Map;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonConfigurationKeysPublic;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.mapreduce.MRConfig;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.mapreduce.v2.MiniMRYarnCluster;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/** HDFS and YARN inside the process of the tests; their tasks are processes with Hadoop alone on their class path. */
final class SmallCluster implements AutoCloseable {
    private static final String MEGABYTES_OF_NODE = "8192";

    private final MiniDFSCluster hdfs;
    private final MiniMRYarnCluster yarn;
    private final Configuration configuration;

    SmallCluster() throws IOException {
        this(new Configuration());
    }

    SmallCluster(Configuration given) throws IOException {
        File directory = Files.createTempDirectory("cluster").toFile();
        Configuration settings = new Configuration(given);
        settings.set("hadoop.tmp.dir", directory + "/tmp");
        settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory + "/hdfs");
        hdfs = new MiniDFSCluster.Builder(settings).numDataNodes(2).build();
        hdfs.waitActive();
        settings.set(FileSystem.FS_DEFAULT_NAME_KEY, hdfs.getFileSystem().getUri().toString());
        settings.set(YarnConfiguration.YARN_MINICLUSTER_NM_PMEM_MB, MEGABYTES_OF_NODE);
        settings.set(YarnConfiguration.NM_VCORES, "8");
        settings.set(YarnConfiguration.RM_SCHEDULER_MINIMUM_ALLOCATION_MB, "128");
        settings.set(YarnConfiguration.NM_VMEM_CHECK_ENABLED, "false");
        // Small clusters would not look at the memory of tasks, and tasks of tests end soon.
        settings.setBoolean(YarnConfiguration.YARN_MINICLUSTER_CONTROL_RESOURCE_MONITORING, true);
        settings.setBoolean(MRConfig.MAPREDUCE_MINICLUSTER_CONTROL_RESOURCE_MONITORING, true);
        settings.set(YarnConfiguration.NM_PMEM_CHECK_ENABLED, "true");
        settings.set(YarnConfiguration.NM_CONTAINER_MON_INTERVAL_MS, "300");
        // Tasks are given out as soon as they are asked for, not at the next second.
        settings.set(YarnConfiguration.RM_NM_HEARTBEAT_INTERVAL_MS, "100");
        settings.set(MRJobConfig.MR_AM_TO_RM_HEARTBEAT_INTERVAL_MS, "100");
        settings.set(YarnConfiguration.NM_MAX_PER_DISK_UTILIZATION_PERCENTAGE, "99.9");
        yarn = new MiniMRYarnCluster("faiss-indexer", 1);
        yarn.init(settings);
        yarn.start();
        configuration = new Configuration(yarn.getConfig());
        configuration.set(YarnConfiguration.YARN_APPLICATION_CLASSPATH, classPathOfHadoop());
        configuration.set(MRJobConfig.MAPREDUCE_APPLICATION_CLASSPATH, classPathOfHadoop());
        configuration.set(YarnConfiguration.IS_MINI_YARN_CLUSTER, "false");
        configuration.set(MRConfig.FRAMEWORK_NAME, MRConfig.YARN_FRAMEWORK_NAME);
        configuration.set(MRJobConfig.MR_AM_VMEM_MB, "1024");
        configuration.set(MRJobConfig.MR_AM_COMMAND_OPTS, "-Xmx400m");
    }

    /** Nothing of ours and nothing that only we need: that has to come with the job. */
    private static String classPathOfHadoop() {
        return Arrays.stream(System.getProperty("java.class.path").split(File.pathSeparator))
                .filter(entry -> !entry.contains("parquet") && !entry.contains("faiss") && !entry.contains("/classes/"))
                .collect(Collectors.joining(","));
    }

    /** A configuration of the cluster for one job; its owner may change it. */
    Configuration configuration() {
        return new Configuration(configuration);
    }

    /** Writes what was set, and not what every Hadoop has, as a machine that submits has it. */
    static void write(Configuration configuration, File directory) throws IOException {
        Configuration site = new Configuration(false);
        for (Map.Entry<String, String> property : configuration) {
            String[] sources = configuration.getPropertySources(property.getKey());
            if (!sources[sources.length - 1].endsWith("-default.xml")) {
                site.set(property.getKey(), property.getValue());
            }
        }
        // A class that only the process of the tests has.
        site.unset(CommonConfigurationKeysPublic.NET_TOPOLOGY_NODE_SWITCH_MAPPING_IMPL_KEY);
        // What is in the file of one part is overruled by the defaults of another.
        for (String part : new String[] {"core", "hdfs", "mapred", "yarn"}) {
            try (OutputStream stream = Files.newOutputStream(new File(directory, part + "-site.xml").toPath())) {
                site.writeXml(stream);
            }
        }
    }

    FileSystem hdfs() throws IOException {
        return hdfs.getFileSystem();
    }

    @Override
    public void close() {
        yarn.stop();
        hdfs.shutdown();
    }
}
