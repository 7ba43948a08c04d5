package io.faissindexer.stages;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Rows and specs that are not as they should be. */
public class LocalInputTest {
    private static final Embeddings EMBEDDINGS = new Embeddings(400, 8);
    private static final IndexSpec FLAT = IndexSpec.builder().factoryString("Flat").build();

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private String output() {
        return folder.getRoot() + "/out";
    }

    private IndexReceipt build(IndexSpec spec, RowSource... more) {
        List<RowSource> partitions = new ArrayList<>(EMBEDDINGS.partitions(2, 0));
        Collections.addAll(partitions, more);
        return FaissIndexer.build(partitions, spec, output());
    }

    private void assertFails(Kind kind, String message, IndexSpec spec, RowSource... more) {
        assertFailure(kind, message, assertThrows(FaissIndexException.class, () -> build(spec, more)));
    }

    private void assertFailure(Kind kind, String message, FaissIndexException failure) {
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
        assertEquals(failure.getMessage(), kind, failure.kind());
        String[] left = new File(output()).list();
        assertArrayEquals("nothing is left behind", new String[0], left == null ? new String[0] : left);
    }

    private static RowSource row(long id, float... embedding) {
        return sink -> sink.add(id, embedding);
    }

    private static float[] eight(float value) {
        float[] embedding = new float[8];
        java.util.Arrays.fill(embedding, value);
        return embedding;
    }

    @Test
    public void badRowsAreRefusedByKindAndId() {
        assertFails(Kind.BAD_ROWS, "wrong dimension (3 instead of 8) [id 77]", FLAT, row(77, 1, 2, 3));
        assertFails(Kind.BAD_ROWS, "[id 78]", FLAT, row(78, eight(Float.NaN)));
        assertFails(Kind.BAD_ROWS, "[id 79]", FLAT, row(79, eight(Float.POSITIVE_INFINITY)));
        assertFails(Kind.BAD_ROWS, "without an id", FLAT, RowSink::nullId);
        assertFails(Kind.BAD_ROWS, "without an embedding [id 80]", FLAT, sink -> sink.nullEmbedding(80));
        assertFails(Kind.BAD_ROWS, "null inside the embedding [id 81]", FLAT, sink -> sink.nullComponent(81));
        IndexSpec cosine = FLAT.toBuilder().metric("cosine").build();
        assertFails(Kind.BAD_ROWS, "length zero", cosine, row(82, eight(0)));
    }

    @Test
    public void skippedRowsAreCountedInTheManifest() throws IOException {
        IndexReceipt receipt = build(
                FLAT.toBuilder().badRows("skip").build(),
                row(77, 1, 2, 3), row(78, eight(Float.NaN)), row(79, eight(Float.NaN)), RowSink::nullId);
        assertEquals(EMBEDDINGS.rows(), receipt.rows());
        String manifest = new String(Files.readAllBytes(new File(receipt.manifest()).toPath()), "UTF-8");
        String compact = manifest.replaceAll("\\s", "");
        assertTrue(manifest, compact.contains("\"wrongDimension\":{\"rows\":1,\"firstIds\":[77]"));
        assertTrue(manifest, compact.contains("\"notFinite\":{\"rows\":2,\"firstIds\":[78,79]"));
        assertTrue(manifest, compact.contains("\"nullId\":{\"rows\":1"));
    }

    @Test
    public void skippedRowsHaveNoInfluenceOnTheIndex() {
        IndexReceipt clean = build(FLAT);
        IndexSpec skipping = FLAT.toBuilder().badRows("skip").overwrite(true).build();
        assertEquals(clean.crc32c(), build(skipping, row(77, 1, 2, 3), row(78, eight(Float.NaN))).crc32c());
    }

    @Test
    public void doublesAreTheFloatsNearestToThem() {
        IndexReceipt floats = build(FLAT, row(5, eight(0.1f)));
        double[] tenths = new double[8];
        java.util.Arrays.fill(tenths, 0.1);
        IndexReceipt doubles = build(FLAT.toBuilder().overwrite(true).build(), sink -> sink.add(5, tenths));
        assertEquals(floats.crc32c(), doubles.crc32c());
    }

    @Test
    public void equalIdsAreTreatedAsAskedFor() {
        RowSource again = row(EMBEDDINGS.id(5), EMBEDDINGS.vector(5));
        assertFails(Kind.DUPLICATE_IDS, Long.toString(EMBEDDINGS.id(5)), FLAT, again);
        IndexReceipt clean = build(FLAT);
        IndexSpec.Builder overwriting = FLAT.toBuilder().overwrite(true);
        assertEquals(clean.crc32c(), build(overwriting.duplicateIds("keepFirst").build(), again).crc32c());
        assertEquals(clean.rows() + 1, build(overwriting.duplicateIds("allow").build(), again).rows());
    }

    @Test
    public void specsThatCannotBeBuiltAreRefusedByName() {
        assertFails(Kind.INVALID_SPEC, "BHNSW32", IndexSpec.builder().factoryString("BHNSW32").build());
        assertFails(Kind.INVALID_SPEC, "PQ3", IndexSpec.builder().factoryString("PQ3").build());
        assertFails(Kind.INVALID_SPEC, "hamming", FLAT.toBuilder().metric("hamming").build());
        assertFails(Kind.INVALID_SPEC, "seed", FLAT.toBuilder().set("seed", "many").build());
        assertFails(Kind.INVALID_SPEC, "dimension='wide'", FLAT.toBuilder().set("dimension", "wide").build());
        assertFails(Kind.INVALID_SPEC, "factoryString", FLAT.toBuilder().set("factoryStrin", "Flat").build());
        assertFails(Kind.INVALID_SPEC, "badRows", FLAT.toBuilder().badRows("ignore").build());
    }

    @Test
    public void tooFewRowsAreRefusedWithBothNumbers() {
        assertFails(Kind.TOO_FEW_ROWS, "512", IndexSpec.builder().factoryString("IVF512,Flat").build());
        FaissIndexException failure = assertThrows(FaissIndexException.class,
                () -> FaissIndexer.build(Collections.emptyList(), FLAT, output()));
        assertFailure(Kind.TOO_FEW_ROWS, "no row with an embedding", failure);
        failure = assertThrows(FaissIndexException.class,
                () -> FaissIndexer.build(Collections.emptyList(), FLAT.toBuilder().dimension(8).build(), output()));
        assertFailure(Kind.TOO_FEW_ROWS, "no rows", failure);
    }

    @Test
    public void rowsThatCannotBeReadFailTheBuildWithTheReason() {
        assertFails(Kind.STORAGE, "the disk is gone", FLAT, sink -> {
            throw new IOException("the disk is gone");
        });
    }

    @Test
    public void aFinishedIndexIsReplacedOnlyWhenAskedFor() throws IOException {
        IndexReceipt first = build(FLAT);
        FaissIndexException refused = assertThrows(FaissIndexException.class, () -> build(FLAT));
        assertEquals(Kind.ALREADY_EXISTS, refused.kind());
        assertEquals(2, refused.exitCode());
        assertTrue(Files.exists(new File(output(), "_SUCCESS").toPath()));
        assertEquals(first.rows() + 1, build(FLAT.toBuilder().overwrite(true).build(), row(5, eight(1))).rows());
    }

    @Test
    public void anOutputThatCannotBeWrittenIsRefusedByName() throws IOException {
        String below = folder.newFile("file").getPath() + "/out";
        FaissIndexException failure = assertThrows(FaissIndexException.class,
                () -> FaissIndexer.build(EMBEDDINGS.partitions(1, 0), FLAT, below));
        assertTrue(failure.getMessage(), failure.getMessage().contains(below));
    }

    @Test
    public void aFactoryStringIsChosenWhenThereIsNone() {
        List<String> notes = new ArrayList<>();
        IndexReceipt receipt = new IndexBuild(new LocalEngine(EMBEDDINGS.partitions(1, 0)), notes::add)
                .run(IndexSpec.builder().build(), output());
        assertEquals("Flat", receipt.factoryString());
        assertTrue(notes.toString(), notes.toString().contains("factoryString=Flat"));
    }
}
