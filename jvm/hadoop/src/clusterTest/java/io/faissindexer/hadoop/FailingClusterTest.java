package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.hdfs.MiniDFSNNTopology;
import org.apache.hadoop.hdfs.server.namenode.ha.HATestUtil;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class FailingClusterTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    /** A build during which a cluster is harmed, in the middle of a task of one stage. */
    private static byte[] build(
            Path output, Configuration configuration, String stage, int calls, Sabotage sabotage) throws IOException {
        IndexSpec spec = SmallHdfs.inParts(4).build();
        return build(SmallHdfs.EMBEDDINGS, spec, output, configuration, stage, calls, sabotage);
    }

    private static byte[] build(
            Embeddings embeddings,
            IndexSpec spec,
            Path output,
            Configuration configuration,
            String stage,
            int calls,
            Sabotage sabotage) throws IOException {
        OnHadoop engine = new OnHadoop(embeddings, configuration) {
            @Override
            void before(String name) {
                if (name.equals(stage)) {
                    sabotage.arm(calls);
                }
            }

            @Override
            public FileSystemHook.Factory files() {
                return sabotage.files(configuration);
            }
        };
        IndexReceipt receipt = new IndexBuild(engine).run(spec, output.toString());
        assertTrue(stage + " was not disturbed", sabotage.isCommitted());
        FileSystem files = output.getFileSystem(configuration);
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, output));
        return SmallHdfs.read(files, new Path(receipt.index()));
    }

    /** A build by the library's own client, which a cluster is harmed before the merge of. */
    private static byte[] buildNatively(Path output, Configuration configuration, Sabotage.Deed deed)
            throws IOException {
        RecordedCalls calls = new RecordedCalls();
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, configuration) {
            @Override
            void before(String name) {
                if (name.equals("merge")) {
                    try {
                        deed.commit();
                    } catch (Exception failure) {
                        throw new IllegalStateException("the cluster could not be harmed: " + failure, failure);
                    }
                }
            }

            @Override
            public FileSystemHook.Factory files() {
                return calls.files(configuration);
            }
        };
        IndexSpec spec = SmallHdfs.inParts(4).ioHdfs("native").build();
        IndexReceipt receipt = new IndexBuild(engine).run(spec, output.toString());
        assertTrue(calls.toString(), calls.areOfNoFile());
        return SmallHdfs.read(output.getFileSystem(configuration), new Path(receipt.index()));
    }

    @Test
    public void aBuildGoesOnWithTheStandbyWhenTheActiveNameNodeIsLost() throws Exception {
        byte[] expected = SmallHdfs.expected(folder.getRoot());
        Configuration configuration = SmallHdfs.configuration(folder.newFolder());
        configuration.setInt("dfs.ha.tail-edits.period", 1);
        MiniDFSCluster.Builder builder = new MiniDFSCluster.Builder(configuration);
        builder.nnTopology(MiniDFSNNTopology.simpleHATopology()).numDataNodes(1);
        try (MiniDFSCluster cluster = builder.build()) {
            cluster.waitActive();
            cluster.transitionToActive(0);
            Configuration client = new Configuration(configuration);
            HATestUtil.setFailoverConfigurations(cluster, client, "pair");
            client.set("fs.defaultFS", "hdfs://pair");

            Sabotage whileEncoding = new Sabotage("create", () -> {
                cluster.transitionToStandby(0);
                cluster.transitionToActive(1);
            });
            Path output = new Path("hdfs://pair/encoding");
            assertArrayEquals(expected, build(output, client, "encode partitions", 2, whileEncoding));
            Sabotage whileMerging = new Sabotage("readFully", () -> {
                cluster.transitionToStandby(1);
                cluster.transitionToActive(0);
            });
            assertArrayEquals(expected, build(new Path("hdfs://pair/merging"), client, "merge", 3, whileMerging));
            Path natively = new Path("hdfs://pair/natively");
            assertArrayEquals(expected, buildNatively(natively, client, () -> {
                cluster.transitionToStandby(0);
                cluster.transitionToActive(1);
            }));
            cluster.transitionToStandby(1);
            cluster.transitionToActive(0);
            Sabotage whileJoining = new Sabotage("concatenate", () -> {
                cluster.shutdownNameNode(0);
                cluster.transitionToActive(1);
            });
            assertArrayEquals(expected, build(new Path("hdfs://pair/joining"), client, "assemble", 1, whileJoining));
        }
    }

    @Test
    public void aDataNodeThatStopsDuringTheMergeIsMissedByNoOne() throws Exception {
        byte[] expected = SmallHdfs.expected(folder.getRoot());
        Configuration configuration = SmallHdfs.configuration(folder.newFolder());
        // Every machine has every block, so each that stops is one that the build reads from and writes to.
        configuration.setInt("dfs.replication", 3);
        try (MiniDFSCluster cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(3).build()) {
            cluster.waitActive();
            Configuration client = new Configuration(cluster.getConfiguration(0));
            Sabotage sabotage = new Sabotage("readFully", () -> cluster.stopDataNode(0));
            Path output = new Path(cluster.getURI() + "/merging");
            assertArrayEquals(expected, build(output, client, "merge", 3, sabotage));
        }
    }

    @Test
    public void aDataNodeThatStopsBetweenTwoWritesOfAPartIsMissedByNoOne() throws Exception {
        Embeddings embeddings = new Embeddings(20_000, 64);
        // Some MiB for each part, so that it is written in several pieces, and all of it in one block.
        IndexSpec spec = SmallHdfs.inParts(2).factoryString("IVF16,Flat").build();
        byte[] expected = SmallHdfs.expected(folder.getRoot(), embeddings, spec);
        Configuration configuration = SmallHdfs.configuration(folder.newFolder());
        configuration.setInt("dfs.blocksize", 64 << 20);
        configuration.setInt("dfs.replication", 3);
        try (MiniDFSCluster cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(3).build()) {
            cluster.waitActive();
            Configuration client = new Configuration(cluster.getConfiguration(0));
            Sabotage sabotage = new Sabotage("write", () -> cluster.stopDataNode(0));
            Path output = new Path(cluster.getURI() + "/writing");
            assertArrayEquals(expected, build(embeddings, spec, output, client, "merge", 2, sabotage));
        }
    }
}
