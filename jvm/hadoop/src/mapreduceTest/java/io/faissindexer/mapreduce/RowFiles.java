package io.faissindexer.mapreduce;

import io.faissindexer.Embeddings;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.StringJoiner;
import java.util.function.Supplier;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.ArrayPrimitiveWritable;
import org.apache.hadoop.io.ArrayWritable;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.FloatWritable;
import org.apache.hadoop.io.IntWritable;
import org.apache.hadoop.io.LongWritable;
import org.apache.hadoop.io.SequenceFile;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.io.Writable;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.util.HadoopOutputFile;

/** Writes rows in the ways in which users keep them. */
final class RowFiles {
    /** As long as the name of the class that is there. */
    static final String UNKNOWN_CLASS = "org.apache.hadoop.io.LostByteArray";

    /** The number of a row that is none of the rows. */
    private static final int NOT_FINITE = -1;

    private final Configuration configuration;

    RowFiles(Configuration configuration) {
        this.configuration = configuration;
    }

    /** How one file is written. */
    interface Writer {
        void write(Path file, Embeddings rows, List<Integer> which) throws IOException;
    }

    /** Deals the rows out to files of a directory. */
    void inDirectory(Path directory, Embeddings rows, int files, String ending, Writer writer) throws IOException {
        List<Integer> order = rows.order(7);
        for (int file = 0; file < files; file++) {
            Path path = new Path(directory, "day=" + file + "/part-" + file + ending);
            writer.write(path, rows, order.subList(file * rows.rows() / files, (file + 1) * rows.rows() / files));
        }
    }

    void text(Path file, Embeddings rows, List<Integer> which) throws IOException {
        try (FSDataOutputStream stream = file.getFileSystem(configuration).create(file)) {
            for (int row : which) {
                stream.write((rows.id(row) + "\t" + components(rows.vector(row)) + "\n").getBytes("UTF-8"));
            }
        }
    }

    void parquet(Path file, Embeddings rows, List<Integer> which) throws IOException {
        parquet(file, rows, which, schema("entityId", "embedding", true));
    }

    void parquet(Path file, Embeddings rows, List<Integer> which, Schema schema) throws IOException {
        try (ParquetWriter<GenericRecord> writer = AvroParquetWriter
                .<GenericRecord>builder(HadoopOutputFile.fromPath(file, configuration))
                .withSchema(schema).withConf(configuration).withRowGroupSize(16L * 1024).build()) {
            for (int row : which) {
                writer.write(record(schema, rows, row));
            }
        }
    }

    void avro(Path file, Embeddings rows, List<Integer> which) throws IOException {
        Schema schema = schema("entityId", "embedding", false);
        try (FSDataOutputStream stream = file.getFileSystem(configuration).create(file);
                DataFileWriter<GenericRecord> writer =
                        new DataFileWriter<>(new GenericDatumWriter<GenericRecord>(schema))) {
            writer.setSyncInterval(4096);
            writer.create(schema, stream);
            for (int row : which) {
                writer.append(record(schema, rows, row));
            }
        }
    }

    void sequenceOfBytes(Path file, Embeddings rows, List<Integer> which) throws IOException {
        sequence(file, which, LongWritable.class, BytesWritable.class, row -> new LongWritable(rows.id(row)), row -> {
            float[] vector = rows.vector(row);
            ByteBuffer bytes = ByteBuffer.allocate(vector.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            bytes.asFloatBuffer().put(vector);
            return new BytesWritable(bytes.array());
        });
    }

    /** What a user's own class looks like to those who do not have it. */
    void sequenceOfUnknown(Path file, Embeddings rows, List<Integer> which) throws IOException {
        sequenceOfBytes(file, rows, which);
        FileSystem fileSystem = file.getFileSystem(configuration);
        byte[] bytes = new byte[(int) fileSystem.getFileStatus(file).getLen()];
        try (FSDataInputStream stream = fileSystem.open(file)) {
            stream.readFully(bytes);
        }
        String content = new String(bytes, StandardCharsets.ISO_8859_1);
        try (FSDataOutputStream stream = fileSystem.create(file)) {
            stream.write(content.replace(BytesWritable.class.getName(), UNKNOWN_CLASS)
                    .getBytes(StandardCharsets.ISO_8859_1));
        }
    }

    void sequenceOfText(Path file, Embeddings rows, List<Integer> which) throws IOException {
        sequence(file, which, Text.class, Text.class, row -> new Text(Long.toString(rows.id(row))),
                row -> new Text(components(rows.vector(row))));
    }

    void sequenceOfPrimitives(Path file, Embeddings rows, List<Integer> which) throws IOException {
        sequence(file, which, LongWritable.class, ArrayPrimitiveWritable.class,
                row -> new LongWritable(rows.id(row)), row -> new ArrayPrimitiveWritable(rows.vector(row)));
    }

    void sequenceOfWritables(Path file, Embeddings rows, List<Integer> which) throws IOException {
        sequenceOfArrays(file, rows, which, Floats.class, Floats::new);
    }

    /** With a bad row in front. */
    void sequenceOfHarm(Path file, Embeddings rows, List<Integer> which) throws IOException {
        List<Integer> withBadRow = new ArrayList<>(Collections.singletonList(NOT_FINITE));
        withBadRow.addAll(which);
        sequenceOfArrays(file, rows, withBadRow, HarmfulFloats.class, HarmfulFloats::new);
    }

    private void sequenceOfArrays(Path file, Embeddings rows, List<Integer> which, Class<? extends ArrayWritable> type,
            Supplier<? extends ArrayWritable> make) throws IOException {
        MakeWritable ids = row -> new LongWritable(row == NOT_FINITE ? row : rows.id(row));
        sequence(file, which, LongWritable.class, type, ids, row -> {
            float[] vector = rows.vector(Math.max(row, 0));
            Writable[] values = new Writable[vector.length];
            Arrays.setAll(values, component -> new FloatWritable(row == NOT_FINITE ? Float.NaN : vector[component]));
            ArrayWritable array = make.get();
            array.set(values);
            return array;
        });
    }

    /** Numbers that no index can be made of. */
    void sequenceOfNumbers(Path file) throws IOException {
        sequence(file, Arrays.asList(1, 2), LongWritable.class, IntWritable.class, LongWritable::new, IntWritable::new);
    }

    private interface MakeWritable {
        Writable of(int row);
    }

    private void sequence(Path file, List<Integer> which, Class<?> key, Class<?> value, MakeWritable keys,
            MakeWritable values) throws IOException {
        try (SequenceFile.Writer writer = SequenceFile.createWriter(configuration, SequenceFile.Writer.file(file),
                SequenceFile.Writer.keyClass(key), SequenceFile.Writer.valueClass(value))) {
            for (int row : which) {
                writer.append(keys.of(row), values.of(row));
            }
        }
    }

    /** Records of an id, something that nobody asks for, and an array. */
    static Schema schema(String id, String embedding, boolean isDouble) {
        Schema array = SchemaBuilder.array()
                .items(Schema.create(isDouble ? Schema.Type.DOUBLE : Schema.Type.FLOAT));
        return SchemaBuilder.record("row").namespace("test").fields()
                .requiredString("comment")
                .name(id).type().nullable().longType().noDefault()
                .name(embedding).type(Schema.createUnion(Schema.create(Schema.Type.NULL), array)).noDefault()
                .endRecord();
    }

    private static GenericRecord record(Schema schema, Embeddings rows, int row) {
        GenericRecord record = new GenericData.Record(schema);
        boolean isDouble = schema.getFields().get(2).schema().getTypes().get(1).getElementType().getType()
                == Schema.Type.DOUBLE;
        List<Object> components = new ArrayList<>();
        for (float component : rows.vector(row)) {
            if (isDouble) {
                components.add((double) component);
            } else {
                components.add(component);
            }
        }
        record.put(0, "row " + row);
        record.put(1, rows.id(row));
        record.put(2, components);
        return record;
    }

    static String components(float[] vector) {
        StringJoiner joiner = new StringJoiner(",");
        for (float component : vector) {
            joiner.add(Float.toString(component));
        }
        return joiner.toString();
    }

    /** What users write to keep arrays of floats, as Hadoop asks for a class of their own. */
    public static final class Floats extends ArrayWritable {
        public Floats() {
            super(FloatWritable.class);
        }
    }
}
