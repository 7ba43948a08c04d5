package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import io.faissindexer.Embeddings;
import io.faissindexer.IndexReceipt;
import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
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
            .endRecord();

    private ReferenceRows() {
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

    /** A finished index, and nothing else. */
    static void assertPublished(File output) {
        String[] names = output.list();
        Arrays.sort(names);
        assertEquals(Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json"), Arrays.asList(names));
    }
}
