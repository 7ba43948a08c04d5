package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import com.google.api.services.bigquery.model.TableRow;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import io.faissindexer.StockFaiss;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO.TypedRead.Method;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

@RunWith(Parameterized.class)
public class BigQueryEmbeddingsTest {
    private static final IndexSpec SPEC = ReferenceBuild.spec().toBuilder().dimension(ReferenceRows.DIMENSION).build();
    private static final IndexSpec FLAT =
            IndexSpec.builder().factoryString("Flat").dimension(ReferenceRows.DIMENSION).report(false).build();
    private static final int FEW = 40;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final Method method;
    private final boolean isQuery;
    private FakeBigQuery bigQuery;
    private File temporary;
    private File output;

    public BigQueryEmbeddingsTest(Method method, String input) {
        this.method = method;
        isQuery = input.equals("query");
    }

    @Parameterized.Parameters(name = "{0} of a {1}")
    public static List<Object[]> inputs() {
        return Arrays.asList(new Object[][] {
            {Method.DIRECT_READ, "table"},
            {Method.DIRECT_READ, "query"},
            {Method.EXPORT, "table"},
            {Method.EXPORT, "query"},
        });
    }

    @Before
    public void begin() throws IOException {
        temporary = folder.newFolder("temporary");
        output = new File(folder.getRoot(), "output");
    }

    private BigQueryEmbeddings all(String idColumn) throws IOException, InterruptedException {
        return source(idColumn, FakeBigQuery.rows(ReferenceRows.all()));
    }

    private BigQueryEmbeddings fewAnd(TableRow... more) throws IOException, InterruptedException {
        List<TableRow> rows = new ArrayList<>(FakeBigQuery.rows(ReferenceRows.all().subList(0, FEW)));
        rows.addAll(Arrays.asList(more));
        return source("entityId", rows);
    }

    private BigQueryEmbeddings source(String idColumn, List<TableRow> rows) throws IOException, InterruptedException {
        bigQuery = new FakeBigQuery();
        BigQueryEmbeddings source;
        if (isQuery) {
            source = BigQueryEmbeddings.ofQuery(bigQuery.query(rows), idColumn, "embedding", method);
        } else {
            bigQuery.fill(rows);
            source = BigQueryEmbeddings.ofTable(FakeBigQuery.TABLE, idColumn, "embedding", method);
        }
        return source.withServices(bigQuery.services());
    }

    /** The fake results of queries are JSON, which has no word for what is no number; 1e300 is none as a float. */
    private double[] notFinite() {
        double[] components = new double[ReferenceRows.DIMENSION];
        components[1] = isQuery ? 1e300 : Double.NaN;
        return components;
    }

    private IndexReceipt build(IndexSpec spec, BigQueryEmbeddings source) {
        BuildFaissIndex build = BuildFaissIndex.into(output.getPath(), spec);
        Pipeline pipeline = Pipeline.create(FakeBigQuery.options(temporary.getPath()));
        pipeline.apply(build.of(source));
        pipeline.run().waitUntilFinish();
        return build.receipt();
    }

    private FaissIndexException failure(IndexSpec spec, BigQueryEmbeddings source) {
        Throwable failure = assertThrows(RuntimeException.class, () -> build(spec, source));
        while (!(failure instanceof FaissIndexException)) {
            assertTrue(failure.toString(), failure.getCause() != null);
            failure = failure.getCause();
        }
        return (FaissIndexException) failure;
    }

    private void assertRefused(Kind kind, String message, IndexSpec spec, BigQueryEmbeddings source) {
        FaissIndexException failure = failure(spec, source);
        assertEquals(failure.getMessage(), kind, failure.kind());
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
    }

    private List<Path> temporaryFiles() throws IOException {
        try (Stream<Path> files = Files.walk(temporary.toPath())) {
            return files.filter(Files::isRegularFile).collect(Collectors.toList());
        }
    }

    @Test
    public void theRowsBecomeTheIndexThatEveryEngineBuildsAndStockFaissReads() throws Exception {
        IndexReceipt receipt = build(SPEC, all("entityId"));
        assertEquals(ReferenceBuild.CRC32C, receipt.crc32c());
        ReferenceRows.assertPublished(output);
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(new File(output, "faiss.index").toPath(), ReferenceBuild.ROWS, false);
        }
    }

    @Test
    public void allPassesShareOneQueryAndOneExportOfWhichNothingIsLeft() throws Exception {
        IndexSpec withoutDimension = IndexSpec.builder().factoryString("Flat").report(false).build();
        assertEquals(FEW, build(withoutDimension, fewAnd()).rows());
        assertEquals(isQuery ? 1 : 0, bigQuery.queryJobs());
        assertEquals(method == Method.EXPORT ? 1 : 0, bigQuery.exportJobs());
        assertEquals(List.of(), bigQuery.resultsLeft());
        assertEquals(List.of(), temporaryFiles());
    }

    @Test
    public void aMissingColumnIsNamedBesideThoseThatAreThere() throws Exception {
        String message = "there is no column 'id'; the columns are comment, entityId, embedding";
        assertRefused(Kind.INVALID_SPEC, message, SPEC, all("id"));
        assertEquals("nothing was begun", List.of(), temporaryFiles());
    }

    @Test
    public void aMissingColumnIsNamedByTheRunningPipelineAsWell() throws Exception {
        assertRefused(Kind.INVALID_SPEC, "there is no column 'id'; the columns are comment, entityId, embedding",
                SPEC, all("id").withoutValidation());
    }

    @Test
    public void badRowsAreRefusedByKindAndId() throws Exception {
        assertRefused(Kind.BAD_ROWS, "without an id", FLAT, fewAnd(FakeBigQuery.row(null, notFinite())));
        assertRefused(Kind.BAD_ROWS, "without an embedding [id 77]", FLAT, fewAnd(FakeBigQuery.row(77L)));
        assertRefused(Kind.BAD_ROWS, "wrong dimension (3 instead of 16) [id 78]", FLAT,
                fewAnd(FakeBigQuery.row(78L, 1, 2, 3)));
        assertRefused(Kind.BAD_ROWS, "[id 79]", FLAT, fewAnd(FakeBigQuery.row(79L, notFinite())));
    }

    @Test
    public void skippedRowsAreLeftOutAndCounted() throws Exception {
        IndexReceipt receipt = build(
                FLAT.toBuilder().badRows("skip").build(),
                fewAnd(FakeBigQuery.row(null, notFinite()), FakeBigQuery.row(77L), FakeBigQuery.row(78L, 1, 2, 3),
                        FakeBigQuery.row(79L, notFinite())));
        assertEquals(FEW, receipt.rows());
        String manifest = Files.readString(Path.of(receipt.manifest()));
        String compact = manifest.replaceAll("\\s", "");
        assertTrue(manifest, compact.contains("\"nullId\":{\"rows\":1"));
        assertTrue(manifest, compact.contains("\"nullEmbedding\":{\"rows\":1,\"firstIds\":[77]"));
        assertTrue(manifest, compact.contains("\"wrongDimension\":{\"rows\":1,\"firstIds\":[78]"));
        assertTrue(manifest, compact.contains("\"notFinite\":{\"rows\":1,\"firstIds\":[79]"));
    }

    @Test
    public void equalIdsAreTreatedAsAskedFor() throws Exception {
        TableRow again = FakeBigQuery.row(ReferenceRows.all().get(5));
        assertRefused(Kind.DUPLICATE_IDS, Long.toString(ReferenceBuild.ROWS.id(5)), FLAT, fewAnd(again));
        IndexSpec.Builder overwriting = FLAT.toBuilder().overwrite(true);
        assertEquals(FEW, build(overwriting.duplicateIds("keepFirst").build(), fewAnd(again)).rows());
        assertEquals(FEW + 1, build(overwriting.duplicateIds("allow").build(), fewAnd(again)).rows());
    }

    private List<IndexReceipt> buildPerGroup(TableRow... rows) throws IOException, InterruptedException {
        BuildFaissIndexPerGroup build = BuildFaissIndexPerGroup.into(output.getPath(), FLAT);
        Pipeline pipeline = Pipeline.create(FakeBigQuery.options(temporary.getPath()));
        pipeline.apply(build.of(source("entityId", Arrays.asList(rows)).groupedBy("comment")));
        pipeline.run().waitUntilFinish();
        return build.receipts();
    }

    @Test
    public void theValuesOfAColumnBecomeAnIndexEach() throws Exception {
        TableRow[] rows = FakeBigQuery.rows(ReferenceRows.all().subList(0, FEW)).toArray(new TableRow[0]);
        rows[3].set("comment", "fourth");
        List<IndexReceipt> receipts = buildPerGroup(rows);
        assertEquals(
                List.of(1L, FEW - 1L), receipts.stream().map(IndexReceipt::rows).collect(Collectors.toList()));
        assertEquals(new File(output, "fourth/faiss.index").getPath(), receipts.get(0).index());
        assertEquals(List.of(), temporaryFiles());
    }

    @Test
    public void aRowWithoutAGroupIsNamed() {
        TableRow row = FakeBigQuery.row(ReferenceRows.all().get(5)).set("comment", null);
        RuntimeException failure = assertThrows(RuntimeException.class, () -> buildPerGroup(row));
        String message = "the row with the id " + ReferenceBuild.ROWS.id(5) + " has no group in the column 'comment'";
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
    }
}
