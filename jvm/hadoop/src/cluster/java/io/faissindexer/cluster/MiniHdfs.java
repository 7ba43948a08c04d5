package io.faissindexer.cluster;

import java.io.File;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.hdfs.MiniDFSCluster;

/**
 * A real HDFS for tests in other languages: one NameNode and one DataNode on free ports. Prints its URI as one line
 * of JSON and ends, with all its files, when standard input does.
 */
public final class MiniHdfs {
    private MiniHdfs() {
    }

    /** Takes no arguments. */
    public static void main(String[] arguments) throws IOException {
        // Hadoop's log would be on standard output.
        PrintStream answer = System.out;
        System.setOut(System.err);
        File directory = Files.createTempDirectory("faiss-indexer-hdfs-").toFile();
        try {
            serve(directory, answer);
        } finally {
            FileUtil.fullyDelete(directory);
        }
        // Threads of the cluster that are left would keep the process.
        System.exit(0);
    }

    private static void serve(File directory, PrintStream answer) throws IOException {
        Configuration configuration = new Configuration();
        configuration.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory.getPath());
        // Small blocks, so that small files have several.
        configuration.setLong("dfs.blocksize", 1 << 20);
        try (MiniDFSCluster cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(1).build()) {
            cluster.waitActive();
            answer.println("{\"uri\": \"" + cluster.getURI() + "\"}");
            while (System.in.read() >= 0) {
                continue;
            }
        }
    }
}
