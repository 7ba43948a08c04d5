package io.faissindexer.beam;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.values.KV;
import org.apache.thrift.TException;
import org.apache.thrift.protocol.TBinaryProtocol;
import org.apache.thrift.protocol.TField;
import org.apache.thrift.protocol.TType;
import org.apache.thrift.transport.TMemoryInputTransport;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class BuildFaissIndexPerGroupTest {
    private static final IndexSpec FLAT = IndexSpec.builder().factoryString("Flat").report(false).build();

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private File input;
    private File output;

    @Before
    public void writeRows() throws IOException {
        input = folder.newFolder();
        output = new File(folder.getRoot(), "output");
        ReferenceRows.writeParquet(new File(input, "a.parquet"), 0, 2);
        ReferenceRows.writeAvro(new File(input, "b.avro"), 1, 2);
    }

    private EmbeddingFiles files() {
        return EmbeddingFiles.of(List.of(input.getPath()), "entityId", "embedding");
    }

    private List<IndexReceipt> build(IndexSpec spec, EmbeddingSource source) {
        BuildFaissIndexPerGroup build = BuildFaissIndexPerGroup.into(output.getPath(), spec);
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(build.of(source));
        return run(pipeline, build);
    }

    private List<IndexReceipt> build(IndexSpec spec, List<KV<String, KV<Long, float[]>>> rows) {
        return build(output.getPath(), spec, rows);
    }

    private static List<IndexReceipt> build(
            String output, IndexSpec spec, List<KV<String, KV<Long, float[]>>> rows) {
        BuildFaissIndexPerGroup build = BuildFaissIndexPerGroup.into(output, spec);
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(Create.of(rows).withCoder(FloatArrayCoder.ofGroupedRows())).apply(build);
        return run(pipeline, build);
    }

    private static List<IndexReceipt> run(Pipeline pipeline, BuildFaissIndexPerGroup build) {
        try {
            pipeline.run().waitUntilFinish();
        } catch (RuntimeException failure) {
            build.abandon();
            throw failure;
        }
        return build.receipts();
    }

    private void assertRefused(Kind kind, String message, IndexSpec spec, List<KV<String, KV<Long, float[]>>> rows) {
        Throwable failure = assertThrows(RuntimeException.class, () -> build(spec, rows));
        while (!(failure instanceof FaissIndexException)) {
            assertTrue(failure.toString(), failure.getCause() != null);
            failure = failure.getCause();
        }
        assertEquals(failure.getMessage(), kind, ((FaissIndexException) failure).kind());
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
    }

    private static KV<String, KV<Long, float[]>> row(String group, long id, float... embedding) {
        return KV.of(group, KV.of(id, embedding));
    }

    /** Fields by their numbers, as a reader of Thrift's sees them. */
    private Map<Short, Object> metadata() throws IOException, TException {
        byte[] bytes = Files.readAllBytes(new File(output, "ANN_INDEX_METADATA").toPath());
        TBinaryProtocol protocol = new TBinaryProtocol(new TMemoryInputTransport(bytes));
        Map<Short, Object> fields = new TreeMap<>();
        protocol.readStructBegin();
        for (TField field = protocol.readFieldBegin(); field.type != TType.STOP; field = protocol.readFieldBegin()) {
            fields.put(field.id, field.type == TType.I64 ? (Object) protocol.readI64()
                    : field.type == TType.BOOL ? (Object) protocol.readBool() : (Object) protocol.readI32());
        }
        return fields;
    }

    @Test
    public void eachGroupOfAColumnBecomesTheIndexOfItsRowsAndTheirNumberIsStated() throws Exception {
        List<IndexReceipt> receipts = build(ReferenceRows.SPEC_OF_GROUPS, files().groupedBy("language"));
        ReferenceRows.assertGroupsPublished(output, receipts, folder.newFolder());
        Map<Short, Object> metadata = metadata();
        long seconds = (Long) metadata.remove((short) 1);
        assertTrue("" + seconds, Math.abs(seconds - System.currentTimeMillis() / 1000) < 600);
        assertEquals(Map.of((short) 3, true, (short) 4, 3), metadata);
    }

    @Test
    public void aColumnOfWholeNumbersGroupsAsWell() {
        List<IndexReceipt> receipts = build(FLAT, files().groupedBy("country"));
        assertEquals(
                List.of("0", "1", "2"),
                receipts.stream().map(receipt -> new File(receipt.index()).getParentFile().getName())
                        .collect(Collectors.toList()));
        assertEquals(ReferenceBuild.ROWS.rows(), receipts.stream().mapToLong(IndexReceipt::rows).sum());
    }

    @Test
    public void groupsThatAreThereNoMoreAreRemovedWhenAnIndexMayBeReplaced() {
        List<KV<String, KV<Long, float[]>>> before = List.of(row("a", 1, 1, 2), row("b", 2, 3, 4));
        List<KV<String, KV<Long, float[]>>> after = List.of(row("b", 3, 1, 2), row("c", 4, 3, 4));
        build(FLAT, before);
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build(FLAT, after));
        assertEquals(Kind.ALREADY_EXISTS, failure.kind());
        build(FLAT.toBuilder().overwrite(true).build(), after);
        assertArrayEquals(new String[] {"ANN_INDEX_METADATA", "b", "c"}, names());
    }

    @Test
    public void anObjectStoreGetsAnIndexForEachGroupAndLosesThoseThatAreThereNoMore() {
        String store = "store://bucket/groups";
        build(store, FLAT, List.of(row("a", 1, 1, 2), row("b", 2, 3, 4)));
        List<IndexReceipt> receipts = build(
                store, FLAT.toBuilder().overwrite(true).build(), List.of(row("b", 3, 1, 2), row("b", 4, 3, 4)));
        assertEquals(List.of(2L), receipts.stream().map(IndexReceipt::rows).collect(Collectors.toList()));
        assertEquals(
                Set.of("ANN_INDEX_METADATA", "b/_SUCCESS", "b/faiss.index", "b/faiss.manifest.json"),
                ObjectStore.names(store));
    }

    @Test
    public void nothingIsPublishedUnlessAllGroupsCanBe() {
        List<KV<String, KV<Long, float[]>>> rows = new ArrayList<>(ReferenceRows.grouped());
        rows.add(KV.of("small", rows.get(0).getValue()));
        assertRefused(Kind.TOO_FEW_ROWS, "the group 'small': ", ReferenceRows.SPEC_OF_GROUPS, rows);
        assertArrayEquals(new String[0], names());
    }

    @Test
    public void aGroupThatCannotNameADirectoryIsRefusedByName() {
        assertRefused(Kind.INVALID_SPEC, "the group 'a/b' cannot name a directory", FLAT,
                List.of(row("a", 1, 1, 2), row("a/b", 2, 3, 4)));
        assertArrayEquals(new String[0], names());
    }

    @Test
    public void aRowOfAnotherDimensionThanMostIsABadRowOfItsGroup() {
        List<KV<String, KV<Long, float[]>>> rows =
                List.of(row("a", 1, 1, 2), row("a", 2, 3, 4), row("b", 3, 1, 2, 3), row("b", 4, 5, 6));
        assertRefused(Kind.BAD_ROWS, "the group 'b': ", FLAT, rows);
        List<IndexReceipt> receipts = build(FLAT.toBuilder().badRows("skip").build(), rows);
        assertEquals(List.of(2L, 1L), receipts.stream().map(IndexReceipt::rows).collect(Collectors.toList()));
    }

    @Test
    public void whatGoesWrongAfterSamplingNamesTheGroup() {
        assertRefused(Kind.DUPLICATE_IDS, "the group 'b': ", FLAT,
                List.of(row("a", 1, 1, 2), row("a", 2, 3, 4), row("b", 3, 1, 2), row("b", 3, 5, 6)));
        assertArrayEquals(new String[0], names());
    }

    @Test
    public void aSourceThatIsGroupedOrNotFitsItsBuildOnly() {
        BuildFaissIndex one = BuildFaissIndex.into(output.getPath(), FLAT);
        FaissIndexException failure = assertThrows(FaissIndexException.class,
                () -> Pipeline.create().apply(one.of(files().groupedBy("language"))).getPipeline().run());
        assertTrue(failure.getMessage(), failure.getMessage().contains("one index of all"));
        failure = assertThrows(FaissIndexException.class, () -> build(FLAT, files()));
        assertTrue(failure.getMessage(), failure.getMessage().contains("rows are not grouped"));
    }

    private String[] names() {
        return output.list() == null ? new String[0] : Stream.of(output.list()).sorted().toArray(String[]::new);
    }
}
