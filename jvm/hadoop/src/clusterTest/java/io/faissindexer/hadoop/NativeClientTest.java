package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import java.security.PrivilegedExceptionAction;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.fs.viewfs.ConfigUtil;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.security.UserGroupInformation;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class NativeClientTest {
    @ClassRule
    public static final TemporaryFolder FOLDER = new TemporaryFolder();

    private static MiniDFSCluster cluster;
    private static byte[] expected;

    @BeforeClass
    public static void startCluster() throws IOException {
        expected = SmallHdfs.expected(FOLDER.getRoot());
        cluster = new MiniDFSCluster.Builder(SmallHdfs.configuration(FOLDER.newFolder())).numDataNodes(1).build();
        cluster.waitActive();
        cluster.getFileSystem().setPermission(new Path("/"), new FsPermission((short) 0777));
    }

    @AfterClass
    public static void stopCluster() {
        cluster.shutdown();
    }

    private static Configuration configuration() {
        return new Configuration(cluster.getConfiguration(0));
    }

    private static IndexSpec.Builder spec(String client) {
        return SmallHdfs.inParts(4).ioHdfs(client);
    }

    /** Builds what is expected, and tells what the hooks were called for. */
    private static RecordedCalls build(IndexSpec spec, String output, Configuration configuration) throws IOException {
        RecordedCalls calls = new RecordedCalls();
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, configuration) {
            @Override
            public FileSystemHook.Factory files() {
                return calls.files(configuration);
            }
        };
        IndexReceipt receipt = new IndexBuild(engine).run(spec, output);
        Path index = new Path(receipt.index());
        FileSystem files = index.getFileSystem(configuration);
        assertArrayEquals(expected, SmallHdfs.read(files, index));
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, index.getParent()));
        return calls;
    }

    @Test
    public void eachClientBuildsTheSameBytes() throws IOException {
        for (String client : new String[] {"native", "auto", "jvm"}) {
            RecordedCalls calls = build(spec(client).build(), cluster.getURI() + "/" + client, configuration());
            assertEquals(client + ": " + calls, !client.equals("jvm"), calls.areOfNoFile());
            // The library's own client cannot join files.
            assertTrue(client + ": " + calls, calls.toString().contains("concatenate"));
        }
    }

    @Test
    public void withoutAWishTheClientIsThatOfHadoop() throws IOException {
        IndexSpec spec = SmallHdfs.inParts(1).build();
        assertFalse(build(spec, cluster.getURI() + "/default", configuration()).areOfNoFile());
    }

    @Test
    public void theNativeClientIsTheUserThatTheTaskIs() throws Exception {
        String output = cluster.getURI() + "/of-somebody";
        UserGroupInformation.createRemoteUser("somebody").doAs((PrivilegedExceptionAction<RecordedCalls>) () ->
                build(spec("native").build(), output, configuration()));
        assertEquals("somebody", cluster.getFileSystem().getFileStatus(new Path(output, "faiss.index")).getOwner());
    }

    @Test
    public void theDefaultFileSystemIsThatOfTheConfigurationOfTheJvm() throws IOException {
        Configuration configuration = configuration();
        configuration.set("fs.defaultFS", cluster.getURI().toString());
        assertTrue(build(spec("native").build(), "hdfs:///in-default", configuration).areOfNoFile());
    }

    @Test
    public void anotherSchemeIsRefusedByNativeAndLeftToHadoopByAuto() throws IOException {
        Configuration configuration = configuration();
        cluster.getFileSystem().mkdirs(new Path("/mounted"));
        ConfigUtil.addLink(configuration, "clusters", "/data", cluster.getURI().resolve("/mounted"));
        FaissIndexException refused = assertThrows(FaissIndexException.class, () ->
                build(spec("native").build(), "viewfs://clusters/data/refused", configuration));
        assertEquals(Kind.INVALID_SPEC, refused.kind());
        assertTrue(refused.getMessage(), refused.getMessage().contains("viewfs://clusters/data/refused"));
        assertTrue(refused.getMessage(), refused.getMessage().contains("with io.hdfs=jvm"));
        assertFalse(cluster.getFileSystem().exists(new Path("/mounted/refused")));
        try (RecordedLog log = new RecordedLog("faiss_indexer_core.hdfs_access")) {
            assertFalse(build(spec("auto").build(), "viewfs://clusters/data/out", configuration).areOfNoFile());
            assertEquals(log.messages().toString(), 1, log.messages().size());
            assertTrue(log.messages().get(0), log.messages().get(0).contains("viewfs://clusters/data/out"));
        }
    }

    @Test
    public void aNameNodeThatTheNativeClientDoesNotReachIsNamedWithWhatHelps() {
        FaissIndexException refused = assertThrows(FaissIndexException.class, () -> {
            Configuration configuration = configuration();
            // Hadoop's client would look for an encryption zone for minutes.
            configuration.setInt("ipc.client.connect.max.retries", 0);
            build(spec("native").build(), "hdfs://localhost:1/out", configuration);
        });
        assertTrue(refused.getMessage(), refused.getMessage().contains("hdfs://localhost:1/out"));
        assertTrue(refused.getMessage(), refused.getMessage().contains("io.hdfs=jvm"));
    }
}
