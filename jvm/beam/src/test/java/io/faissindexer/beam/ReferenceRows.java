package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import io.faissindexer.stages.RowSource;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import java.util.zip.CRC32C;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.util.HadoopOutputFile;

/** The rows of the build that every engine's tests do, as Beam has them. */
final class ReferenceRows {
    static final int DIMENSION = ReferenceBuild.ROWS.vector(0).length;
    private static final Schema SCHEMA = SchemaBuilder.record("row").fields()
            .optionalLong("entityId")
            .name("embedding").type().array().items().doubleType().noDefault()
            .requiredString("language")
            .requiredInt("country")
            .endRecord();

    /** What rows may be grouped by; the first has more rows than the others, and the last few. */
    static final List<String> GROUPS = List.of("de", "en-GB", "fr");

    /** A family that the smallest group can train. */
    static final IndexSpec SPEC_OF_GROUPS = IndexSpec.builder().factoryString("IVF8,SQ8").report(false).build();

    private ReferenceRows() {
    }

    /** The group of a row. */
    static String group(int row) {
        return row % 100 == 7 ? GROUPS.get(2) : GROUPS.get(row % 3 == 1 ? 1 : 0);
    }

    /** All rows by their group. */
    static List<KV<String, KV<Long, float[]>>> grouped() {
        List<KV<Long, float[]>> all = all();
        return IntStream.range(0, all.size()).mapToObj(row -> KV.of(group(row), all.get(row)))
                .collect(Collectors.toList());
    }

    /** Fails unless every group has the index that a build of its rows alone makes, and nothing else is there. */
    static void assertGroupsPublished(File output, List<IndexReceipt> receipts, File alone) {
        assertEquals(
                Set.of("ANN_INDEX_METADATA", "de", "en-GB", "fr"), Set.of(output.list()));
        for (int number = 0; number < GROUPS.size(); number++) {
            String group = GROUPS.get(number);
            RowSource rows = sink -> {
                for (KV<String, KV<Long, float[]>> row : grouped()) {
                    if (row.getKey().equals(group)) {
                        sink.add(row.getValue().getKey(), row.getValue().getValue());
                    }
                }
            };
            IndexReceipt expected = FaissIndexer.build(List.of(rows), SPEC_OF_GROUPS, new File(alone, group).getPath());
            assertEquals(group, expected.crc32c(), receipts.get(number).crc32c());
            assertPublished(new File(output, group));
        }
    }

    static List<KV<Long, float[]>> all() {
        Embeddings embeddings = ReferenceBuild.ROWS;
        List<KV<Long, float[]>> rows = new ArrayList<>();
        for (int row = 0; row < embeddings.rows(); row++) {
            rows.add(KV.of(embeddings.id(row), embeddings.vector(row)));
        }
        return rows;
    }

    /** Every row whose number leaves a remainder. */
    private static List<GenericRecord> records(int remainder, int divisor) {
        List<KV<Long, float[]>> all = all();
        List<GenericRecord> records = new ArrayList<>();
        for (int row = remainder; row < all.size(); row += divisor) {
            GenericRecord record = new GenericData.Record(SCHEMA);
            record.put("entityId", all.get(row).getKey());
            List<Double> components = new ArrayList<>();
            for (float component : all.get(row).getValue()) {
                components.add((double) component);
            }
            record.put("embedding", components);
            record.put("language", group(row));
            record.put("country", row % GROUPS.size());
            records.add(record);
        }
        return records;
    }

    static void writeParquet(File file, int remainder, int divisor) throws IOException {
        HadoopOutputFile output = HadoopOutputFile.fromPath(new Path(file.toURI()), new Configuration());
        try (ParquetWriter<GenericRecord> writer =
                AvroParquetWriter.<GenericRecord>builder(output).withSchema(SCHEMA).build()) {
            for (GenericRecord record : records(remainder, divisor)) {
                writer.write(record);
            }
        }
    }

    static void writeAvro(File file, int remainder, int divisor) throws IOException {
        try (DataFileWriter<GenericRecord> writer =
                new DataFileWriter<GenericRecord>(new GenericDatumWriter<>(SCHEMA)).create(SCHEMA, file)) {
            for (GenericRecord record : records(remainder, divisor)) {
                writer.append(record);
            }
        }
    }

    /** One receipt, of the index that every engine builds. */
    static void assertReceipt(PCollection<IndexReceipt> receipts) {
        PAssert.that(receipts.apply(MapElements.into(TypeDescriptors.strings()).via(IndexReceipt::crc32c)))
                .containsInAnyOrder(ReferenceBuild.CRC32C);
    }

    /** A finished index of the bytes that every engine writes, and nothing else. */
    static void assertIndex(File output) throws IOException {
        assertPublished(output);
        CRC32C checksum = new CRC32C();
        checksum.update(Files.readAllBytes(new File(output, "faiss.index").toPath()));
        assertEquals(ReferenceBuild.CRC32C, String.format("%08x", checksum.getValue()));
    }

    /** A finished index, and nothing else. */
    static void assertPublished(File output) {
        String[] names = output.list();
        Arrays.sort(names);
        assertEquals(Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json"), Arrays.asList(names));
    }
}
