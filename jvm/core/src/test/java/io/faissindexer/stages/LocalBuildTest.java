package io.faissindexer.stages;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;
import org.junit.runners.Parameterized.Parameter;
import org.junit.runners.Parameterized.Parameters;

@RunWith(Parameterized.class)
public class LocalBuildTest {
    private static final Embeddings EMBEDDINGS = new Embeddings(3000, 16);

    @Parameters(name = "{0} {1}")
    public static Object[][] families() {
        return new Object[][] {
            {"Flat", "l2", true},
            {"Flat", "l1", true},
            {"HNSW16", "cosine", false},
            {"SQ8", "l2", true},
            {"PQ2", "l2", false},
            {"PQ8np", "l2", false},
            {"IVF16,Flat", "l2", true},
            {"IVF16,Flat", "cosine", true},
            {"IVF16,SQ8", "l2", true},
            {"IVF16,PQ8np", "cosine", false},
            {"IVF16,PQ2", "l2", false},
            {"IVF16_HNSW8,PQ8x4fs", "l2", false},
            {"IDMap,IVF16,Flat", "l2", true},
            {"PCA8,IVF16,SQ8,RFlat", "l2", true},
            {"OPQ8,IVF16,PQ8np", "l2", false},
            {"OPQ4_8,IVF16,PQ4np", "l2", false},
        };
    }

    @Parameter(0)
    public String family;

    @Parameter(1)
    public String metric;

    /** Whether a row is nearest to itself in what the family keeps of it. */
    @Parameter(2)
    public boolean exactly;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private IndexReceipt build(int partitions, long order, int threads) {
        IndexSpec spec = IndexSpec.builder().factoryString(family).metric(metric).threads(threads).build();
        File output = new File(folder.getRoot(), partitions + "-" + order + "-" + threads);
        return FaissIndexer.build(EMBEDDINGS.partitions(partitions, order), spec, output.getPath());
    }

    @Test
    public void theSameRowsGiveTheSameBytesHoweverTheyAreDividedOrderedAndThreaded() throws Exception {
        IndexReceipt receipt = build(1, 0, 1);
        for (IndexReceipt other : new IndexReceipt[] {build(3, 7, 2), build(8, 11, 1), build(1, 13, 2)}) {
            assertEquals(receipt.crc32c(), other.crc32c());
            assertEquals(receipt.fingerprint(), other.fingerprint());
        }
    }

    @Test
    public void stockFaissFindsTheRowsInWhatWasBuilt() throws Exception {
        IndexReceipt receipt = build(3, 7, 2);
        Path index = new File(receipt.index()).toPath();
        assertEquals(EMBEDDINGS.rows(), receipt.rows());
        assertEquals(family, receipt.factoryString());
        assertEquals(Files.size(index), receipt.bytes());
        assertEquals(crc32c(index), receipt.crc32c());
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(index, EMBEDDINGS, exactly);
        }
    }

    @Test
    public void theOutputHoldsTheIndexItsManifestAndTheMarkOfSuccess() throws Exception {
        IndexReceipt receipt = build(2, 0, 1);
        Path output = new File(receipt.index()).toPath().getParent();
        assertTrue(Files.exists(output.resolve("_SUCCESS")));
        assertFalse(Files.exists(output.resolve("_temporary")));
        String manifest = new String(Files.readAllBytes(new File(receipt.manifest()).toPath()), "UTF-8");
        assertTrue(manifest, manifest.contains(receipt.crc32c()) && manifest.contains(receipt.fingerprint()));
        assertTrue(receipt.json(), receipt.json().contains("\"rows\":" + EMBEDDINGS.rows()));
        assertFalse(receipt.json(), receipt.json().contains("\n"));
        assertTrue(receipt.seconds().toString(), receipt.seconds().containsKey("train"));
    }

    /** Bit by bit from the definition (RFC 3720, B.4); Java 8 has no class for it. */
    private static String crc32c(Path file) throws Exception {
        int remainder = ~0;
        for (byte next : Files.readAllBytes(file)) {
            remainder ^= next & 0xFF;
            for (int bit = 0; bit < 8; bit++) {
                remainder = (remainder >>> 1) ^ (0x82F63B78 & -(remainder & 1));
            }
        }
        return String.format("%08x", ~remainder);
    }
}
