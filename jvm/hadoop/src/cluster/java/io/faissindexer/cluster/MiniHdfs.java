package io.faissindexer.cluster;

import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.Arrays;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileUtil;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.server.namenode.ha.HATestUtil;

/**
 * A real HDFS for tests in other languages, on free ports: one NameNode and one DataNode or, with the argument
 * {@code pair}, two NameNodes and three DataNodes. Prints its URI and the keys of its configuration that a client needs
 * as one line of JSON, and ends, with all its files, when standard input does. A line {@code fail over} stops the
 * active NameNode, which is answered by a line when the other is active.
 */
public final class MiniHdfs {
    private static final String NAME_SERVICE = "pair";

    private MiniHdfs() {
    }

    /** Takes {@code pair} or nothing. */
    public static void main(String[] arguments) throws IOException {
        // Hadoop's log would be on standard output.
        PrintStream answer = System.out;
        System.setOut(System.err);
        File directory = Files.createTempDirectory("faiss-indexer-hdfs-").toFile();
        try {
            serve(directory, Arrays.asList(arguments).contains(NAME_SERVICE), answer);
        } finally {
            FileUtil.fullyDelete(directory);
        }
        // Threads of the cluster that are left would keep the process.
        System.exit(0);
    }

    private static void serve(File directory, boolean isPair, PrintStream answer) throws IOException {
        Configuration configuration = new Configuration();
        configuration.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory.getPath());
        // Small blocks, so that small files have several.
        configuration.setLong("dfs.blocksize", 1 << 20);
        configuration.setInt("dfs.ha.tail-edits.period", 1);
        MiniDFSCluster.Builder builder = new MiniDFSCluster.Builder(configuration).numDataNodes(isPair ? 3 : 1);
        if (isPair) {
            builder.nnTopology(MiniDFSNNTopology.simpleHATopology());
        }
        try (MiniDFSCluster cluster = builder.build()) {
            cluster.waitActive();
            Configuration client = new Configuration(false);
            if (isPair) {
                cluster.transitionToActive(0);
                HATestUtil.setFailoverConfigurations(cluster, client, NAME_SERVICE);
                client.set("fs.defaultFS", "hdfs://" + NAME_SERVICE);
            } else {
                client.set("fs.defaultFS", cluster.getURI().toString());
            }
            answer.println("{\"uri\": \"" + client.get("fs.defaultFS") + "\", \"settings\": " + json(client) + "}");
            obey(cluster, answer);
        }
    }

    private static String json(Configuration client) {
        StringBuilder json = new StringBuilder("{");
        for (Map.Entry<String, String> setting : client) {
            String key = setting.getKey();
            // Only Hadoop's client does not mind a scheme before an address.
            String value = key.contains("rpc-address") ? setting.getValue().replace("hdfs://", "") : setting.getValue();
            json.append(json.length() > 1 ? ", " : "");
            json.append('"').append(key).append("\": \"").append(value).append('"');
        }
        return json.append('}').toString();
    }

    private static void obey(MiniDFSCluster cluster, PrintStream answer) throws IOException {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
        String command;
        while ((command = commands.readLine()) != null) {
            if (!command.equals("fail over")) {
                throw new IOException("unknown command: " + command);
            }
            cluster.shutdownNameNode(0);
            cluster.transitionToActive(1);
            answer.println("done");
        }
    }
}
