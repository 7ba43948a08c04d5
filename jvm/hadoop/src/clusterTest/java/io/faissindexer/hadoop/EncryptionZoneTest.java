package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.storage.FileSystemHook;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.kms.server.MiniKMS;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.DFSTestUtil;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class EncryptionZoneTest {
    @ClassRule
    public static final TemporaryFolder FOLDER = new TemporaryFolder();

    private static MiniKMS keys;
    private static MiniDFSCluster cluster;
    private static byte[] expected;

    @BeforeClass
    public static void startCluster() throws Exception {
        expected = SmallHdfs.expected(FOLDER.getRoot());
        keys = new MiniKMS.Builder().setKmsConfDir(FOLDER.newFolder()).build();
        keys.start();
        Configuration configuration = SmallHdfs.configuration(FOLDER.newFolder());
        configuration.set(
                "hadoop.security.key.provider.path", "kms://" + keys.getKMSUrl().toExternalForm().replace("://", "@"));
        cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(1).build();
        cluster.waitActive();
        DFSTestUtil.createKey("key", cluster, configuration);
        DistributedFileSystem files = cluster.getFileSystem();
        files.mkdirs(new Path("/zone"));
        files.createEncryptionZone(new Path("/zone"), "key");
    }

    @AfterClass
    public static void stopCluster() throws Exception {
        cluster.shutdown();
        keys.stop();
    }

    private static Path inZone(String name) {
        return new Path(cluster.getURI() + "/zone/" + name);
    }

    private static List<String> stages(IndexSpec spec, Path output) throws Exception {
        List<String> stages = new ArrayList<>();
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, new Configuration(cluster.getConfiguration(0))) {
            @Override
            void before(String stage) {
                stages.add(stage);
            }
        };
        IndexReceipt receipt = new IndexBuild(engine).run(spec, output.toString());
        DistributedFileSystem files = cluster.getFileSystem();
        assertArrayEquals(expected, SmallHdfs.read(files, new Path(receipt.index())));
        assertTrue(files.getFileStatus(new Path(receipt.index())).isEncrypted());
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, output));
        return stages;
    }

    @Test
    public void partsThatTheNameNodeDoesNotJoinAreCopiedInTheirOrder() throws Exception {
        assertTrue(stages(SmallHdfs.inParts(8).build(), inZone("parts")).contains("assemble"));
    }

    @Test
    public void withoutAWishThereIsOnePart() throws Exception {
        IndexSpec spec = IndexSpec.builder().factoryString("IVF16,SQ8").report(false).build();
        assertFalse(stages(spec, inZone("one")).contains("assemble"));
    }

    @Test
    public void theNativeClientIsRefusedBeforeAnythingIsWritten() throws Exception {
        IndexSpec spec = SmallHdfs.inParts(4).ioHdfs("native").build();
        FaissIndexException refused =
                assertThrows(FaissIndexException.class, () -> stages(spec, inZone("refused/index")));
        assertEquals(FaissIndexException.Kind.INVALID_SPEC, refused.kind());
        String message = refused.getMessage();
        String reason = inZone("refused/index") + " is out of reach: it is in an encryption zone";
        assertTrue(message, message.contains(reason));
        assertTrue(message, message.contains("with io.hdfs=jvm"));
        assertFalse(cluster.getFileSystem().exists(inZone("refused")));
    }

    @Test
    public void autoLeavesAZoneToTheClientOfHadoopAndSaysWhyOnce() throws Exception {
        try (RecordedLog log = new RecordedLog("faiss_indexer_core.hdfs_access")) {
            stages(SmallHdfs.inParts(4).ioHdfs("auto").build(), inZone("auto"));
            assertEquals(log.messages().toString(), 1, log.messages().size());
            assertTrue(log.messages().get(0), log.messages().get(0).contains("encryption zone"));
        }
    }

    @Test
    public void theHookSaysThatFilesOfAZoneAreNotJoined() throws Exception {
        DistributedFileSystem files = cluster.getFileSystem();
        Path first = inZone("files/first");
        Path second = inZone("files/second");
        DFSTestUtil.writeFile(files, first, "first");
        DFSTestUtil.writeFile(files, second, "second");
        try (FileSystemHook hook = new HadoopFileSystemHook(new Configuration(cluster.getConfiguration(0)))) {
            assertFalse(hook.canConcatenate(inZone("files").toString()));
            assertTrue(hook.canConcatenate(cluster.getURI() + "/"));
            assertFalse(hook.concatenate(
                    first.toString(), Collections.singletonList(second.toString()).toArray(new String[0])));
        }
        assertEquals("first", new String(SmallHdfs.read(files, first), "UTF-8"));
        assertEquals("second", new String(SmallHdfs.read(files, second), "UTF-8"));
    }
}
