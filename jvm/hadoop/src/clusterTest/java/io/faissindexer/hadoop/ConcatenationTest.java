package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.IndexReceipt;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.storage.FileSystemHook;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.viewfs.ConfigUtil;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ConcatenationTest {
    @ClassRule
    public static final TemporaryFolder FOLDER = new TemporaryFolder();

    private static MiniDFSCluster cluster;
    private static byte[] expected;

    @BeforeClass
    public static void startCluster() throws IOException {
        expected = SmallHdfs.expected(FOLDER.getRoot());
        Configuration configuration = SmallHdfs.configuration(FOLDER.newFolder());
        cluster = new MiniDFSCluster.Builder(configuration).numDataNodes(1).build();
        cluster.waitActive();
    }

    @AfterClass
    public static void stopCluster() {
        cluster.shutdown();
    }

    private static Configuration configuration() throws IOException {
        Configuration configuration = new Configuration(cluster.getConfiguration(0));
        configuration.set("fs.defaultFS", cluster.getFileSystem().getUri().toString());
        return configuration;
    }

    private static String write(String name, String text) throws IOException {
        Path path = new Path(cluster.getFileSystem().getUri() + "/" + name);
        try (FSDataOutputStream output = cluster.getFileSystem().create(path)) {
            output.write(text.getBytes(StandardCharsets.UTF_8));
        }
        return path.toString();
    }

    private static String text(String uri) throws IOException {
        return new String(SmallHdfs.read(cluster.getFileSystem(), new Path(uri)), StandardCharsets.UTF_8);
    }

    @Test
    public void eightPartsAreTheBytesOfOneTaskAndNoneIsCopied() throws IOException {
        List<Long> fileIds = new ArrayList<>();
        Path output = new Path(cluster.getFileSystem().getUri() + "/in-parts");
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, configuration()) {
            @Override
            void before(String stage) {
                if (stage.equals("assemble")) {
                    fileIds.addAll(idsOfIndexFiles(output));
                }
            }
        };
        IndexReceipt receipt = new IndexBuild(engine).run(SmallHdfs.inParts(8).build(), output.toString());
        DistributedFileSystem files = cluster.getFileSystem();
        assertArrayEquals(expected, SmallHdfs.read(files, new Path(receipt.index())));
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, output));
        assertEquals(8, fileIds.size());
        long published = files.getClient().getFileInfo("/in-parts/faiss.index").getFileId();
        assertTrue("the index is one of the parts", fileIds.contains(published));
    }

    private static List<Long> idsOfIndexFiles(Path output) {
        try {
            DistributedFileSystem files = cluster.getFileSystem();
            List<Long> ids = new ArrayList<>();
            Path build = files.listStatus(new Path(output, "_temporary"))[0].getPath();
            for (FileStatus file : files.listStatus(build)) {
                if (file.getPath().getName().startsWith("index-")) {
                    ids.add(files.getClient().getFileInfo(file.getPath().toUri().getPath()).getFileId());
                }
            }
            return ids;
        } catch (IOException failure) {
            throw new AssertionError(failure);
        }
    }

    @Test
    public void filesAreJoinedBehindAMountPoint() throws IOException {
        Configuration configuration = configuration();
        configuration.set("fs.defaultFS", "viewfs://clusters/");
        cluster.getFileSystem().mkdirs(new Path("/mounted"));
        ConfigUtil.addLink(configuration, "clusters", "/data", cluster.getURI().resolve("/mounted"));
        try (FileSystemHook hook = new HadoopFileSystemHook(configuration)) {
            write("mounted/a", "first, ");
            write("mounted/b", "second");
            assertTrue(hook.canConcatenate("viewfs://clusters/data"));
            assertTrue(hook.concatenate("viewfs://clusters/data/a", new String[] {"viewfs://clusters/data/b"}));
            assertEquals("first, second", text(cluster.getURI() + "/mounted/a"));
        }
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, configuration);
        IndexReceipt receipt = new IndexBuild(engine).run(SmallHdfs.inParts(3).build(), "viewfs://clusters/data/out");
        Path index = new Path(receipt.index());
        assertArrayEquals(expected, SmallHdfs.read(index.getFileSystem(configuration), index));
    }

    @Test
    public void whatTheNameNodeRefusesIsNoFailureAndChangesNothing() throws IOException {
        String first = write("refused/first", "first");
        String empty = write("refused/empty", "");
        try (FileSystemHook hook = new HadoopFileSystemHook(configuration())) {
            assertFalse(hook.concatenate(first, new String[] {empty}));
            assertThrows(FileNotFoundException.class, () -> hook.concatenate(first, new String[] {first + "-missing"}));
        }
        assertEquals("first", text(first));
        assertEquals("", text(empty));
    }

    @Test
    public void theLocalFileSystemDoesNotJoinFiles() throws IOException {
        FileSystem local = FileSystem.getLocal(new Configuration());
        String[] uris = new String[2];
        for (int file = 0; file < 2; file++) {
            Path path = new Path(FOLDER.getRoot().toURI().toString(), "part-" + file);
            local.create(path).close();
            uris[file] = path.toString();
        }
        try (FileSystemHook hook = new HadoopFileSystemHook(new Configuration())) {
            assertFalse(hook.canConcatenate(FOLDER.getRoot().toURI().toString()));
            assertFalse(hook.concatenate(uris[0], new String[] {uris[1]}));
        }
        assertTrue(local.exists(new Path(uris[1])));
    }
}
