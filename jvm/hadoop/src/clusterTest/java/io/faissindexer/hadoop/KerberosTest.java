package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.security.PrivilegedAction;
import java.security.PrivilegedExceptionAction;
import java.util.List;
import java.util.function.Supplier;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.crypto.key.kms.server.MiniKMS;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DFSTestUtil;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.minikdc.MiniKdc;
import org.apache.hadoop.security.Credentials;
import org.apache.hadoop.security.UserGroupInformation;
import org.apache.hadoop.security.UserGroupInformation.AuthenticationMethod;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class KerberosTest {
    @ClassRule
    public static final TemporaryFolder FOLDER = new TemporaryFolder();

    private static MiniKdc kdc;
    private static MiniKMS keys;
    private static MiniDFSCluster cluster;
    private static Configuration configuration;
    private static File userKeytab;
    private static byte[] expected;

    @BeforeClass
    public static void startCluster() throws Exception {
        expected = SmallHdfs.expected(FOLDER.getRoot());
        kdc = new MiniKdc(MiniKdc.createConf(), FOLDER.newFolder());
        kdc.start();
        File serviceKeytab = FOLDER.newFile("services.keytab");
        userKeytab = FOLDER.newFile("indexer.keytab");
        kdc.createPrincipal(serviceKeytab, "hdfs/localhost", "HTTP/localhost");
        kdc.createPrincipal(userKeytab, "indexer");

        configuration = SmallHdfs.configuration(FOLDER.newFolder());
        configuration.set("hadoop.security.authentication", "kerberos");
        configuration.setBoolean("hadoop.security.authorization", true);
        String service = "hdfs/localhost@" + kdc.getRealm();
        for (String daemon : new String[] {"namenode", "datanode"}) {
            configuration.set("dfs." + daemon + ".kerberos.principal", service);
            configuration.set("dfs." + daemon + ".keytab.file", serviceKeytab.getPath());
        }
        configuration.set("dfs.web.authentication.kerberos.principal", "HTTP/localhost@" + kdc.getRealm());
        configuration.set("dfs.web.authentication.kerberos.keytab", serviceKeytab.getPath());
        configuration.setBoolean("dfs.block.access.token.enable", true);
        // Machines that are no machines of their own have neither privileged ports nor certificates.
        configuration.setBoolean("ignore.secure.ports.for.testing", true);
        UserGroupInformation.setConfiguration(configuration);
        UserGroupInformation.loginUserFromKeytab(service, serviceKeytab.getPath());

        keys = new MiniKMS.Builder().setKmsConfDir(keyServer(serviceKeytab)).build();
        keys.start();
        configuration.set(
                "hadoop.security.key.provider.path", "kms://" + keys.getKMSUrl().toExternalForm().replace("://", "@"));
        cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(1).build();
        cluster.waitActive();
        configuration.set("fs.defaultFS", cluster.getURI().toString());
        DistributedFileSystem files = cluster.getFileSystem();
        files.setPermission(new Path("/"), new FsPermission((short) 0777));
        DFSTestUtil.createKey("key", cluster, configuration);
        files.mkdirs(new Path("/zone"));
        files.createEncryptionZone(new Path("/zone"), "key");
        files.setPermission(new Path("/zone"), new FsPermission((short) 0777));
    }

    /** The directory of a key server that asks for tickets. */
    private static File keyServer(File keytab) throws IOException {
        File directory = FOLDER.newFolder();
        Configuration site = new Configuration(false);
        site.set("hadoop.kms.key.provider.uri", "jceks://file@" + directory.getPath() + "/keys");
        site.set("hadoop.kms.authentication.type", "kerberos");
        site.set("hadoop.kms.authentication.kerberos.keytab", keytab.getPath());
        site.set("hadoop.kms.authentication.kerberos.principal", "HTTP/localhost");
        site.set("hadoop.kms.authentication.kerberos.name.rules", "DEFAULT");
        try (OutputStream file = new FileOutputStream(new File(directory, "kms-site.xml"))) {
            site.writeXml(file);
        }
        return directory;
    }

    @AfterClass
    public static void stopCluster() throws Exception {
        if (cluster != null) {
            cluster.shutdown();
        }
        if (keys != null) {
            keys.stop();
        }
        kdc.stop();
        UserGroupInformation.reset();
    }

    /** What a task of a job is to a cluster: a name, with the tokens that the submitter has asked for and no ticket. */
    private static UserGroupInformation task(Credentials tokens) {
        UserGroupInformation task = UserGroupInformation.createRemoteUser("indexer");
        task.setAuthenticationMethod(AuthenticationMethod.TOKEN);
        task.addCredentials(tokens);
        assertFalse(task.hasKerberosCredentials());
        return task;
    }

    /** Runs what tasks do with tokens only. */
    private static final class TasksWithTokens extends OnHadoop {
        private final UserGroupInformation task;

        TasksWithTokens(UserGroupInformation task) {
            super(SmallHdfs.EMBEDDINGS, configuration);
            this.task = task;
        }

        private List<StageOutcome> asTask(Supplier<List<StageOutcome>> work) {
            return task.doAs((PrivilegedAction<List<StageOutcome>>) work::get);
        }

        @Override
        public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
            return asTask(() -> super.onEveryPartition(name, stage));
        }

        @Override
        public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
            return asTask(() -> super.inTasks(name, tasks, stage));
        }
    }

    private static IndexReceipt build(String output, boolean withTokens) throws Exception {
        return build(output, withTokens, "jvm");
    }

    private static IndexReceipt build(String output, boolean withTokens, String client) throws Exception {
        UserGroupInformation submitter =
                UserGroupInformation.loginUserFromKeytabAndReturnUGI("indexer@" + kdc.getRealm(), userKeytab.getPath());
        return submitter.doAs((PrivilegedExceptionAction<IndexReceipt>) () -> {
            Credentials tokens = new Credentials();
            if (withTokens) {
                FileSystem.get(configuration).addDelegationTokens("indexer", tokens);
                assertTrue(tokens.numberOfTokens() > 0);
            }
            IndexBuild build = new IndexBuild(new TasksWithTokens(task(tokens)));
            return build.run(SmallHdfs.inParts(4).ioHdfs(client).build(), cluster.getURI() + output);
        });
    }

    /** The file of tokens that a submitter has asked for, as YARN gives it to tasks. */
    private static File tokenFile() throws Exception {
        File file = new File(FOLDER.newFolder(), "container_tokens");
        UserGroupInformation
                .loginUserFromKeytabAndReturnUGI("indexer@" + kdc.getRealm(), userKeytab.getPath())
                .doAs((PrivilegedExceptionAction<Void>) () -> {
                    Credentials tokens = new Credentials();
                    FileSystem.get(configuration).addDelegationTokens("indexer", tokens);
                    tokens.writeTokenStorageFile(new Path(file.toURI()), configuration);
                    return null;
                });
        return file;
    }

    /** The configuration of the cluster's clients, as a file. */
    private static File clientConfiguration() throws IOException {
        File file = new File(FOLDER.newFolder(), "client.xml");
        try (OutputStream stream = new FileOutputStream(file)) {
            configuration.writeXml(stream);
        }
        return file;
    }

    @Test
    public void theNativeClientOfATaskTakesTheTokensInItsFile() throws Exception {
        for (String client : new String[] {"native", "auto"}) {
            String output = cluster.getURI() + "/" + client + "-with-tokens";
            String said = TaskWithTokenFile.run(clientConfiguration(), output, client, tokenFile(), 0);
            assertTrue(said, said.contains("calls are of no file: true"));
            Path index = new Path(output, "faiss.index");
            assertEquals("indexer", cluster.getFileSystem().getFileStatus(index).getOwner());
            assertArrayEquals(expected, SmallHdfs.read(cluster.getFileSystem(), index));
        }
    }

    @Test
    public void autoLeavesAZoneOfATaskWithTokensToTheClientOfHadoop() throws Exception {
        String output = cluster.getURI() + "/zone/auto-with-tokens";
        String said = TaskWithTokenFile.run(clientConfiguration(), output, "auto", tokenFile(), 0);
        assertTrue(said, said.contains("calls are of no file: false"));
        assertTrue(cluster.getFileSystem().getFileStatus(new Path(output, "faiss.index")).isEncrypted());
    }

    @Test
    public void theNativeClientHasNoUseForTokensInMemory() throws Exception {
        FaissIndexException refused =
                assertThrows(FaissIndexException.class, () -> build("/in-memory", true, "native"));
        assertTrue(refused.getMessage(), refused.getMessage().contains("HADOOP_TOKEN_FILE_LOCATION"));
        assertTrue(refused.getMessage(), refused.getMessage().contains("with io.hdfs=jvm"));
        assertFalse(cluster.getFileSystem().exists(new Path("/in-memory")));
        IndexReceipt receipt = build("/in-memory", true, "auto");
        assertPublished(receipt);
        assertArrayEquals(expected, SmallHdfs.read(cluster.getFileSystem(), new Path(receipt.index())));
    }

    private static void assertPublished(IndexReceipt receipt) throws IOException {
        Path index = new Path(receipt.index());
        DistributedFileSystem files = cluster.getFileSystem();
        assertEquals("indexer", files.getFileStatus(index).getOwner());
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, index.getParent()));
    }

    @Test
    public void tasksWithDelegationTokensBuildWhatTheSubmitterAskedFor() throws Exception {
        IndexReceipt receipt = build("/plain", true);
        assertPublished(receipt);
        assertArrayEquals(expected, SmallHdfs.read(cluster.getFileSystem(), new Path(receipt.index())));
    }

    @Test
    public void tasksWithoutTokensAreRefused() {
        FaissIndexException refused = assertThrows(FaissIndexException.class, () -> build("/refused", false));
        assertTrue(refused.getMessage(), refused.getMessage().contains("TOKEN"));
    }

    @Test
    public void tasksWithDelegationTokensBuildInAnEncryptionZone() throws Exception {
        IndexReceipt receipt = build("/zone/encrypted", true);
        assertPublished(receipt);
        assertTrue(cluster.getFileSystem().getFileStatus(new Path(receipt.index())).isEncrypted());
        byte[] found = UserGroupInformation
                .loginUserFromKeytabAndReturnUGI("indexer@" + kdc.getRealm(), userKeytab.getPath())
                .doAs((PrivilegedExceptionAction<byte[]>) () ->
                        SmallHdfs.read(FileSystem.get(configuration), new Path(receipt.index())));
        assertArrayEquals(expected, found);
    }
}
