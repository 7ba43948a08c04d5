package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.junit.AfterClass;
import org.junit.BeforeClass;
import org.junit.ClassRule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class CompetingBuildsTest {
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

    private static OnHadoop engine() {
        return new OnHadoop(SmallHdfs.EMBEDDINGS, new Configuration(cluster.getConfiguration(0)));
    }

    private static void assertPublished(Path output) throws IOException {
        FileSystem files = cluster.getFileSystem();
        assertEquals(SmallHdfs.published(), SmallHdfs.names(files, output));
        assertArrayEquals(expected, SmallHdfs.read(files, new Path(output, "faiss.index")));
    }

    /** The loser is overtaken before one of its stages, and says by whom. */
    private static void overtakeBefore(String stage) throws IOException {
        Path output = new Path(cluster.getURI() + "/before-" + stage.replace(' ', '-'));
        IndexSpec spec = SmallHdfs.inParts(2).build();
        List<IndexReceipt> won = new ArrayList<>();
        OnHadoop overtaken = new OnHadoop(SmallHdfs.EMBEDDINGS, new Configuration(cluster.getConfiguration(0))) {
            @Override
            void before(String name) {
                if (name.equals(stage)) {
                    won.add(new IndexBuild(engine()).run(spec, output.toString()));
                }
            }
        };
        FaissIndexException failure = assertThrows(
                FaissIndexException.class, () -> new IndexBuild(overtaken).run(spec, output.toString()));
        assertEquals(stage, 1, won.size());
        assertTrue(failure.getMessage(), failure.getMessage().contains(output.toString()));
        assertTrue(failure.getMessage(), failure.getMessage().matches("(?s).*(another build|already).*"));
        assertPublished(output);
    }

    @Test
    public void aBuildThatIsOvertakenSaysSoAndLeavesTheOtherAlone() throws IOException {
        for (String stage : new String[] {"train", "encode partitions", "merge", "assemble"}) {
            overtakeBefore(stage);
        }
    }

    @Test
    public void aSecondBuildIntoAFinishedOutputIsRefusedAtOnce() throws IOException {
        Path output = new Path(cluster.getURI() + "/finished");
        new IndexBuild(engine()).run(SmallHdfs.inParts(1).build(), output.toString());
        FaissIndexException failure = assertThrows(FaissIndexException.class,
                () -> new IndexBuild(engine()).run(SmallHdfs.inParts(1).build(), output.toString()));
        assertEquals(FaissIndexException.Kind.ALREADY_EXISTS, failure.kind());
        assertPublished(output);
    }

    /** The loser finds the index of the other, or that the other has deleted its files, even those that are open. */
    private static void assertLost(Path output, Throwable failure) {
        assertTrue(failure.toString(), failure instanceof FaissIndexException);
        String message = failure.getMessage();
        assertTrue(message, message.contains(output.toString()));
        assertTrue(message, message.matches("(?s).*(another build|holds a finished index).*"));
    }

    /** Both get through where one decides to publish before the other has: of the same rows, to the same index. */
    @Test
    public void ofTwoBuildsAtTheSameTimeOneOrBothWinAndALoserSaysWhy() throws Exception {
        Path output = new Path(cluster.getURI() + "/race");
        CyclicBarrier together = new CyclicBarrier(2);
        Callable<IndexReceipt> racer = () -> {
            together.await();
            return new IndexBuild(engine()).run(SmallHdfs.inParts(2).build(), output.toString());
        };
        ExecutorService threads = Executors.newFixedThreadPool(2);
        int won = 0;
        try {
            List<Future<IndexReceipt>> runs = new ArrayList<>();
            runs.add(threads.submit(racer));
            runs.add(threads.submit(racer));
            for (Future<IndexReceipt> run : runs) {
                try {
                    run.get();
                    won++;
                } catch (ExecutionException failure) {
                    assertLost(output, failure.getCause());
                }
            }
        } finally {
            threads.shutdown();
        }
        assertTrue("a build wins", won >= 1);
        assertPublished(output);
    }
}
