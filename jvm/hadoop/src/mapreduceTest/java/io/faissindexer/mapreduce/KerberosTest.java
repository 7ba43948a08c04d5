package io.faissindexer.mapreduce;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.kerberos.KerberosRealm;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.security.PrivilegedExceptionAction;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.security.UserGroupInformation;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** A cluster that asks for tickets, and tasks with JVMs of their own that have none. */
public class KerberosTest {
    private static final Embeddings ROWS = new Embeddings(2000, 16);
    private static final String FAMILY = "IVF16,SQ8";
    private static final IndexSpec SPEC =
            IndexSpec.builder().factoryString(FAMILY).sampleRate(1).report(false).build();
    private static KerberosRealm realm;
    private static SmallCluster cluster;
    private static UserGroupInformation user;
    private static byte[] expected;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @BeforeClass
    public static void start() throws Exception {
        realm = new KerberosRealm();
        cluster = new SmallCluster(realm.settings());
        user = realm.user();
        cluster.hdfs().setPermission(new Path("/"), new FsPermission((short) 0777));
        String directory = Files.createTempDirectory("expected").toString();
        IndexReceipt receipt = io.faissindexer.FaissIndexer.build(ROWS.partitions(1, 0), SPEC, directory);
        expected = Files.readAllBytes(Paths.get(receipt.index()));
    }

    @AfterClass
    public static void stop() {
        if (cluster != null) {
            cluster.close();
        }
        realm.close();
    }

    private static Configuration configuration() {
        Configuration configuration = cluster.configuration();
        configuration.set(MRJobConfig.JAR, System.getProperty("faissindexer.test.jar"));
        for (String options : new String[] {MRJobConfig.MR_AM_COMMAND_OPTS, MRJobConfig.MAP_JAVA_OPTS}) {
            configuration.set(options, configuration.get(options, "") + " " + realm.optionsOfMachineWithoutTickets());
        }
        return configuration;
    }

    private static void writeRows(Configuration configuration, String directory) throws Exception {
        user.doAs((PrivilegedExceptionAction<Void>) () -> {
            RowFiles rows = new RowFiles(configuration);
            rows.inDirectory(new Path(directory), ROWS, 2, "", rows::parquet);
            return null;
        });
    }

    private static List<String> names(FileSystem files, Path directory) throws IOException {
        List<String> names = new ArrayList<>();
        for (FileStatus file : files.listStatus(directory)) {
            names.add(file.getPath().getName());
        }
        Collections.sort(names);
        return names;
    }

    private static void assertPublished(FileSystem files, Path index) throws IOException {
        byte[] found = new byte[(int) files.getFileStatus(index).getLen()];
        try (FSDataInputStream stream = files.open(index)) {
            stream.readFully(0, found);
        }
        assertArrayEquals(expected, found);
        assertEquals(KerberosRealm.USER, files.getFileStatus(index).getOwner());
        assertEquals(Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json"), names(files, index.getParent()));
        Path staging = new Path(configuration().get(MRJobConfig.MR_AM_STAGING_DIR), KerberosRealm.USER + "/.staging");
        assertEquals("staged", Collections.emptyList(), names(cluster.hdfs(), staging));
    }

    private static List<Properties> statements(File directory) throws IOException {
        List<Properties> statements = new ArrayList<>();
        for (File file : directory.listFiles()) {
            Properties statement = new Properties();
            try (InputStream stream = Files.newInputStream(file.toPath())) {
                statement.load(stream);
            }
            statements.add(statement);
        }
        return statements;
    }

    @Test
    public void tasksWithTokensAndWithoutTicketsReadAndWriteAnotherHdfsThanThatOfTheirCluster() throws Exception {
        Configuration configuration = configuration();
        File statements = folder.newFolder();
        configuration.set("tmpjars", new File(System.getProperty("faissindexer.test.testJar")).toURI().toString());
        configuration.set("fs.hdfs.impl", Witness.class.getName());
        configuration.set(Witness.STATEMENTS, statements.getPath());
        Configuration settings = realm.settings();
        settings.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, folder.newFolder().getPath());
        MiniDFSCluster other = new MiniDFSCluster.Builder(settings).numDataNodes(1).build();
        try {
            other.waitActive();
            other.getFileSystem().setPermission(new Path("/"), new FsPermission((short) 0777));
            writeRows(configuration, other.getURI() + "/rows");
            List<String> inputs = Collections.singletonList(other.getURI() + "/rows");
            IndexReceipt receipt = user.doAs((PrivilegedExceptionAction<IndexReceipt>) () ->
                    FaissIndexer.build(configuration, inputs, SPEC, other.getURI() + "/index"));
            assertPublished(other.getFileSystem(), new Path(receipt.index()));
        } finally {
            other.shutdown();
        }
        int tasks = 0;
        for (Properties statement : statements(statements)) {
            assertEquals("false", statement.getProperty("has ticket"));
            List<String> tokens = Arrays.asList(statement.getProperty("tokens").split(" "));
            assertEquals(tokens.toString(), 2, Collections.frequency(tokens, "HDFS_DELEGATION_TOKEN"));
            if (!tokens.contains("YARN_AM_RM_TOKEN")) {
                assertEquals(KerberosRealm.USER, statement.getProperty("user"));
                tasks++;
            }
        }
        assertTrue("sample, train, encode, merge: " + tasks, tasks >= 6);
    }

    private int launch() throws Exception {
        File settings = folder.newFolder();
        SmallCluster.write(configuration(), settings);
        ProcessBuilder builder = new ProcessBuilder(
                System.getProperty("faissindexer.test.launcher"), "--input", "/rows", "--output", "/index",
                "--factory-string", FAMILY, "--sample-rate", "1", "--report", "false")
                .redirectErrorStream(true).redirectOutput(file("said"));
        Map<String, String> environment = builder.environment();
        environment.remove("HADOOP_HOME");
        environment.put("HADOOP_CONF_DIR", settings.getPath());
        environment.put("HADOOP_CLIENT_OPTS", "-Xmx400m " + realm.optionsOfMachine());
        environment.put("KRB5CCNAME", file("tickets").getPath());
        return builder.start().waitFor();
    }

    private File file(String name) {
        return new File(folder.getRoot(), name);
    }

    private String said() throws IOException {
        return new String(Files.readAllBytes(file("said").toPath()), StandardCharsets.UTF_8);
    }

    @Test
    public void theLauncherSubmitsWithTheTicketOfTheUser() throws Exception {
        realm.writeTicketCache(file("tickets"));
        writeRows(configuration(), "/rows");
        int exitCode = launch();
        assertEquals(said(), 0, exitCode);
        assertFalse(said(), said().contains("jobs run in this process"));
        assertPublished(cluster.hdfs(), new Path("/index/faiss.index"));
    }

    @Test
    public void theLauncherSaysThatThereIsNoTicket() throws Exception {
        int exitCode = launch();
        assertNotEquals(said(), 0, exitCode);
        assertTrue(said(), said().contains("Client cannot authenticate via:[TOKEN, KERBEROS]"));
    }
}
