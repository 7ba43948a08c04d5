package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.StockFaiss;
import io.faissindexer.mapreduce.input.InputSettings;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.lib.input.FileInputFormat;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** Jobs inside the process, on every kind of input. */
public class LocalJobsTest {
    private static final Embeddings ROWS = new Embeddings(2000, 16);
    private static final IndexSpec SPEC = IndexSpec.builder().factoryString("IVF16,SQ8").report(false).build();
    private static String expected;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final Configuration configuration = new Configuration();
    private final RowFiles files = new RowFiles(configuration);
    private final List<String> said = new ArrayList<>();
    private Path input;
    private File output;

    @BeforeClass
    public static void buildWithoutMapReduce() throws IOException {
        String directory = Files.createTempDirectory("expected").toString();
        expected = io.faissindexer.FaissIndexer.build(ROWS.partitions(1, 0), SPEC, directory).crc32c();
    }

    @Before
    public void nameDirectories() {
        configuration.set("hadoop.tmp.dir", folder.getRoot() + "/hadoop");
        configuration.set("mapreduce.jobtracker.staging.root.dir", staging().getPath());
        configuration.setLong(FileInputFormat.SPLIT_MAXSIZE, 40_000);
        input = new Path(folder.getRoot() + "/in");
        output = new File(folder.getRoot(), "out");
    }

    private IndexReceipt build(IndexSpec spec) {
        List<String> inputs = Collections.singletonList(input.toString());
        return FaissIndexer.build(configuration, inputs, spec, output.toString(), said::add);
    }

    private void assertBuilds(int files, String ending, RowFiles.Writer writer) throws IOException {
        this.files.inDirectory(input, ROWS, files, ending, writer);
        assertEquals(expected, build(SPEC).crc32c());
        assertEquals(Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json"), left(output));
        assertTrue(said.toString(), said.stream().anyMatch(line ->
                line.matches("encode partitions: done, .* s, 2,000 rows, .* rows/s")));
        assertEquals("what the jobs wrote is gone", Collections.emptyList(), leftByJobs());
    }

    private static List<String> left(File directory) {
        String[] names = directory.list((parent, name) -> !name.endsWith(".crc"));
        List<String> left = new ArrayList<>(names == null ? Collections.emptyList() : Arrays.asList(names));
        Collections.sort(left);
        return left;
    }

    private File staging() {
        return new File(folder.getRoot(), "staging");
    }

    private List<String> leftByJobs() throws IOException {
        List<String> left = new ArrayList<>();
        File staging = staging();
        if (staging.exists()) {
            Files.walk(staging.toPath()).map(Object::toString).filter(path -> path.contains("faiss"))
                    .forEach(left::add);
        }
        return left;
    }

    private void assertFails(Kind kind, IndexSpec spec, String... parts) throws IOException {
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build(spec));
        for (String part : parts) {
            assertTrue(failure.getMessage(), failure.getMessage().contains(part));
        }
        assertEquals(failure.getMessage(), kind, failure.kind());
        assertEquals(Collections.emptyList(), left(output));
        assertEquals(Collections.emptyList(), leftByJobs());
    }

    private void writeLines(String... lines) throws IOException {
        Files.createDirectories(new File(input.toString()).toPath());
        Files.write(new File(input.toString(), "rows.tsv").toPath(), Arrays.asList(lines), StandardCharsets.UTF_8);
    }

    @Test
    public void linesOfTextGiveTheBytesThatTheLocalEngineGives() throws Exception {
        assertBuilds(3, ".tsv", files::text);
        for (StockFaiss faiss : StockFaiss.versions()) {
            faiss.assertHolds(new File(output, "faiss.index").toPath(), ROWS, true);
        }
    }

    @Test
    public void compressedLinesGiveTheSameBytes() throws IOException {
        assertBuilds(2, ".gz", (file, rows, which) -> {
            org.apache.hadoop.io.compress.GzipCodec codec = new org.apache.hadoop.io.compress.GzipCodec();
            codec.setConf(configuration);
            try (java.io.OutputStream stream =
                    codec.createOutputStream(file.getFileSystem(configuration).create(file))) {
                for (int row : which) {
                    String line = rows.id(row) + "\t" + RowFiles.components(rows.vector(row)) + "\r\n";
                    stream.write(line.getBytes(StandardCharsets.UTF_8));
                }
            }
        });
    }

    @Test
    public void parquetOfDoublesGivesTheSameBytes() throws IOException {
        assertBuilds(3, ".parquet", files::parquet);
    }

    @Test
    public void parquetWithListsOfThreeLevelsGivesTheSameBytes() throws IOException {
        configuration.setBoolean("parquet.avro.write-old-list-structure", false);
        assertBuilds(2, ".parquet", (file, rows, which) ->
                files.parquet(file, rows, which, RowFiles.schema("entityId", "embedding", false)));
    }

    @Test
    public void avroRecordsGiveTheSameBytes() throws IOException {
        assertBuilds(3, ".avro", files::avro);
    }

    @Test
    public void sequenceFilesOfBytesGiveTheSameBytes() throws IOException {
        assertBuilds(3, "", files::sequenceOfBytes);
    }

    @Test
    public void sequenceFilesOfTextGiveTheSameBytes() throws IOException {
        assertBuilds(2, "", files::sequenceOfText);
    }

    @Test
    public void sequenceFilesOfArraysGiveTheSameBytes() throws IOException {
        assertBuilds(2, "", files::sequenceOfPrimitives);
    }

    @Test
    public void sequenceFilesOfWritablesGiveTheSameBytes() throws IOException {
        assertBuilds(2, "", files::sequenceOfWritables);
    }

    @Test
    public void otherColumnsAreReadWhenTheyAreNamed() throws IOException {
        configuration.set(InputSettings.ID_COLUMN, "key");
        configuration.set(InputSettings.EMBEDDING_COLUMN, "vector");
        assertBuilds(1, ".parquet", (file, rows, which) ->
                files.parquet(file, rows, which, RowFiles.schema("key", "vector", true)));
    }

    @Test
    public void aColumnThatIsNotThereIsNamedWithThoseThatAre() throws IOException {
        configuration.set(InputSettings.EMBEDDING_COLUMN, "vector");
        files.inDirectory(input, ROWS, 1, ".parquet", files::parquet);
        assertFails(Kind.INVALID_SPEC, SPEC, "no column 'vector'; the columns are comment, entityId, embedding");
        configuration.set(InputSettings.ID_COLUMN, "comment");
        configuration.unset(InputSettings.EMBEDDING_COLUMN);
        IndexSpec ofKnownDimension = SPEC.toBuilder().dimension(16).build();
        assertFails(Kind.INVALID_SPEC, ofKnownDimension, "part-0.parquet", "'comment'", "ids are whole numbers");
    }

    @Test
    public void columnsOfOtherTypesAreRefusedInAvroToo() throws IOException {
        files.inDirectory(input, ROWS, 1, ".avro", files::avro);
        configuration.set(InputSettings.EMBEDDING_COLUMN, "comment");
        assertFails(Kind.INVALID_SPEC, SPEC, "part-0.avro", "'comment'", "arrays of float or double");
        configuration.set(InputSettings.EMBEDDING_COLUMN, "vector");
        assertFails(Kind.INVALID_SPEC, SPEC, "no field 'vector'; the fields are comment, entityId, embedding");
    }

    @Test
    public void writablesOfOtherTypesAreRefused() throws IOException {
        files.sequenceOfNumbers(new Path(input, "numbers"));
        assertFails(Kind.INVALID_SPEC, SPEC, "numbers", "values are of type org.apache.hadoop.io.IntWritable");
    }

    @Test
    public void aSequenceFileOfAClassThatIsNotThereSaysWhatIsMissing() throws IOException {
        files.inDirectory(input, ROWS, 1, ".seq", files::sequenceOfUnknown);
        String[] parts = {"part-0.seq", RowFiles.UNKNOWN_CLASS, "-libjars"};
        assertFails(Kind.INVALID_SPEC, SPEC, parts);
        assertFails(Kind.INVALID_SPEC, SPEC.toBuilder().dimension(16).build(), parts);
    }

    @Test
    public void aLineThatMakesNoSenseIsNamed() throws IOException {
        writeLines("1\t1,2", "2\t3,x");
        IndexSpec flat = IndexSpec.builder().factoryString("Flat").build();
        assertFails(Kind.CORRUPT_FILE, flat, "rows.tsv, line 2", "'2\t3,x'", "\"x\"");
    }

    @Test
    public void linesThatLackSomethingAreBadRows() throws IOException {
        writeLines("1\t1,2", "2\t", "3", "\t1,2", "4\t1,,2", "5\t1,2,3", "6\tNaN,1", "", "7\t3, 4");
        IndexSpec flat = IndexSpec.builder().factoryString("Flat").report(false).build();
        assertFails(Kind.BAD_ROWS, flat, "6 bad rows: 1 without an id; 2 without an embedding [first ids 2, 3]",
                "1 with a null inside the embedding [id 4]", "(3 instead of 2) [id 5]", "[id 6]");
        assertEquals(2, build(flat.toBuilder().badRows("skip").build()).rows());
        for (String stage : new String[] {"sample", "encode"}) {
            assertTrue(said.toString(), said.stream().anyMatch(line -> line.matches(stage + " partitions: done, .* s, "
                    + "8 rows, .* rows/s, bad rows of the wrong dimension: 1, "
                    + "bad rows with NaN or an infinite number: 1, "
                    + "bad rows with a null inside the embedding: 1, bad rows without an embedding: 2, "
                    + "bad rows without an id: 1")));
        }
    }

    @Test
    public void aFormatThatIsNamedIsNotGuessed() throws IOException {
        writeLines("1\t1,2");
        configuration.set(InputSettings.FORMAT, "parquet");
        assertFails(Kind.CORRUPT_FILE, SPEC, "rows.tsv", "not a Parquet file");
        configuration.set(InputSettings.FORMAT, "avro");
        assertFails(Kind.STORAGE, SPEC, "rows.tsv", "Not an Avro data file");
        configuration.set(InputSettings.FORMAT, "orc");
        assertFails(Kind.INVALID_SPEC, SPEC, "faissindexer.input.format='orc'", "avro");
    }

    @Test
    public void inputsThatAreNotThereAreUsageErrors() throws IOException {
        assertFails(Kind.INVALID_SPEC, SPEC, "there is no " + input);
    }

    @Test
    public void anOutputOfAnUnknownHostIsAUsageError() {
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> FaissIndexer.build(
                configuration, Collections.singletonList(input.toString()), SPEC, "hdfs://nowhere.invalid/x"));
        assertTrue(failure.getMessage(), failure.getMessage().contains("'hdfs://nowhere.invalid/x' cannot be used"));
        assertEquals("usage", 2, failure.exitCode());
    }

    @Test
    public void anInputWithoutRowsIsTooSmall() throws IOException {
        writeLines();
        assertFails(Kind.TOO_FEW_ROWS, SPEC, input.toString());
        assertFails(Kind.TOO_FEW_ROWS, SPEC.toBuilder().dimension(2).build(), "no rows");
    }

    /** Keeps what the jobs of a build wrote when it is to be deleted at the end. */
    public static final class KeepingFileSystem extends LocalFileSystem {
        @Override
        public boolean delete(Path path, boolean isRecursive) throws IOException {
            if (path.getName().startsWith("faiss-indexer-")) {
                throw new IOException("name node in safe mode");
            }
            return super.delete(path, isRecursive);
        }
    }

    private void keepWhatJobsWrote() {
        configuration.setClass("fs.file.impl", KeepingFileSystem.class, FileSystem.class);
        configuration.setBoolean("fs.file.impl.disable.cache", true);
    }

    @Test
    public void aPublishedIndexIsAResultAlsoWhenWhatJobsWroteStays() throws IOException {
        files.inDirectory(input, ROWS, 1, ".tsv", files::text);
        keepWhatJobsWrote();
        assertEquals(expected, build(SPEC).crc32c());
        assertEquals("warning: what the jobs wrote cannot be deleted: name node in safe mode",
                said.get(said.size() - 1));
        assertFalse("the test has kept it", leftByJobs().isEmpty());
    }

    @Test
    public void aFailureIsNotHiddenByWhatJobsWroteThatStays() throws IOException {
        writeLines("1\t1,2", "2\t3,x");
        keepWhatJobsWrote();
        IndexSpec flat = IndexSpec.builder().factoryString("Flat").dimension(2).build();
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> build(flat));
        assertEquals(failure.getMessage(), Kind.CORRUPT_FILE, failure.kind());
        assertEquals("name node in safe mode", failure.getSuppressed()[0].getMessage());
    }

    @Test
    public void anInterruptEndsTheJobAndLeavesNothing() throws Exception {
        files.inDirectory(input, ROWS, 3, ".tsv", files::text);
        Thread builder = Thread.currentThread();
        List<String> lines = new ArrayList<>();
        FaissIndexException failure = assertThrows(FaissIndexException.class, () -> FaissIndexer.build(
                configuration, Collections.singletonList(input.toString()), SPEC, output.toString(), line -> {
                    lines.add(line);
                    if (line.startsWith("encode")) {
                        builder.interrupt();
                    }
                }));
        assertFalse("the interrupt was taken", Thread.interrupted());
        assertEquals(lines.toString(), Kind.CANCELLED, failure.kind());
        assertEquals(Collections.emptyList(), left(output));
        assertEquals(Collections.emptyList(), leftByJobs());
    }
}
