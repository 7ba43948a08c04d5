package io.faissindexer.stages;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameter;
import org.junit.runners.Parameterized.Parameters;

@RunWith(Parameterized.class)
public class ShardedBuildTest {
    private static final int SHARDS = 3;
    private static final Embeddings EMBEDDINGS = new Embeddings(3000, 16);

    @Parameters(name = "{0}")
    public static Object[][] families() {
        return new Object[][] {{"HNSW16"}, {"IVF16,Flat"}, {"SQ8"}};
    }

    @Parameter
    public String family;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private IndexReceipt build(int partitions, String output, int shards) {
        return build(partitions, output, IndexSpec.builder().shards(shards));
    }

    private IndexReceipt build(int partitions, String output, IndexSpec.Builder builder) {
        IndexSpec spec = builder.factoryString(family).overwrite(true).build();
        return FaissIndexer.build(
                EMBEDDINGS.partitions(partitions, partitions), spec, new File(folder.getRoot(), output).getPath());
    }

    @Test
    public void stockFaissServesTheShardsAsOneIndex() throws Exception {
        IndexReceipt receipt = build(4, "output", SHARDS);
        assertEquals(EMBEDDINGS.rows(), receipt.rows());
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(new File(receipt.index()).toPath(), EMBEDDINGS, true);
        }
    }

    @Test
    public void everyShardIsCompleteAndTheSameHoweverTheRowsAreDivided() throws Exception {
        Path one = new File(build(1, "one", SHARDS).index()).toPath();
        Path other = new File(build(5, "other", SHARDS).index()).toPath();
        for (int shard = 0; shard < SHARDS; shard++) {
            String name = "shard_" + shard;
            assertTrue(name, Files.exists(one.resolve(name).resolve("_SUCCESS")));
            assertArrayEquals(name, bytes(one, name), bytes(other, name));
        }
    }

    @Test
    public void anOutputOfOtherShardsIsReplacedWithoutARest() throws Exception {
        build(1, "output", SHARDS);
        Path output = new File(build(1, "output", 1).index()).toPath().getParent();
        assertFalse(Files.exists(output.resolve("shard_0")));
        build(1, "output", 2);
        assertFalse(Files.exists(output.resolve("faiss.index")));
        assertFalse(Files.exists(output.resolve("shard_2")));
    }

    @Test
    public void aReportTellsTheRecallOfAllShardsTogether() throws Exception {
        IndexReceipt receipt = build(3, "output", IndexSpec.builder().shards(SHARDS).report(true));
        assertTrue(receipt.seconds().toString(), receipt.seconds().containsKey("evaluate"));
        String page = text(new File(receipt.index(), "report.html"));
        assertTrue(page, page.contains("<html") && page.contains(family));
        String manifest = text(new File(receipt.manifest()));
        List<Double> shares = new ArrayList<>();
        Matcher share = Pattern.compile("\"share\": *([0-9.]+)").matcher(manifest);
        while (share.find()) {
            shares.add(Double.valueOf(share.group(1)));
        }
        // At 1 and at 10, of the most thorough search: through all lists, or with the most candidates.
        List<Double> best = shares.subList(shares.size() - 2, shares.size());
        assertTrue(manifest, best.get(0) >= 0.9 && best.get(1) >= 0.9);
        if (family.equals("IVF16,Flat")) {
            assertEquals(manifest, Arrays.asList(1.0, 1.0), best);
            assertTrue(manifest, shares.get(1) < 1);
        }
    }

    private static String text(File file) throws Exception {
        return new String(Files.readAllBytes(file.toPath()), StandardCharsets.UTF_8);
    }

    private static byte[] bytes(Path output, String shard) throws Exception {
        return Files.readAllBytes(output.resolve(shard).resolve("faiss.index"));
    }
}
