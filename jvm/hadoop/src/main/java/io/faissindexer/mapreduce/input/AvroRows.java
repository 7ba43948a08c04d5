package io.faissindexer.mapreduce.input;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.file.SeekableInput;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;

/**
 * Records with a field of ids and one of arrays. Only what every Avro from 1.7 on has is used, because tasks get the
 * one that their Hadoop brings.
 */
final class AvroRows extends RowFileReader {
    private FileSplit split;
    private DataFileReader<GenericRecord> records;
    private GenericRecord record;
    private String idField;
    private String embeddingField;

    @Override
    void open(FileSplit part, TaskAttemptContext context) throws IOException {
        split = part;
        Configuration configuration = context.getConfiguration();
        idField = InputSettings.idColumn(configuration);
        embeddingField = InputSettings.embeddingColumn(configuration);
        GenericDatumReader<GenericRecord> decoder = new GenericDatumReader<>();
        records = new DataFileReader<>(new HadoopInput(part.getPath(), configuration), decoder);
        decoder.setExpected(projection(records.getSchema()));
        records.sync(part.getStart());
    }

    /** The two fields alone, so that the rest of a record is passed over. */
    private Schema projection(Schema schema) {
        if (schema.getType() != Schema.Type.RECORD) {
            throw unusable(split, "holds values of type " + schema.getType() + ", not records");
        }
        Schema.Field id = field(schema, idField);
        Schema.Field embedding = field(schema, embeddingField);
        requireType(idField, id.schema(), "ids are int or long", Schema.Type.INT, Schema.Type.LONG);
        Schema array = requireType(embeddingField, embedding.schema(), "embeddings are arrays of float or double",
                Schema.Type.ARRAY);
        requireType(embeddingField, array.getElementType(), "embeddings are arrays of float or double",
                Schema.Type.FLOAT, Schema.Type.DOUBLE);
        String namespace = schema.getNamespace() == null ? "" : schema.getNamespace();
        return new Schema.Parser().parse("{\"type\":\"record\",\"name\":\"" + schema.getName() + "\",\"namespace\":\""
                + namespace + "\",\"fields\":[{\"name\":\"" + idField + "\",\"type\":" + id.schema() + "},{\"name\":\""
                + embeddingField + "\",\"type\":" + embedding.schema() + "}]}");
    }

    private Schema.Field field(Schema schema, String name) {
        Schema.Field field = schema.getField(name);
        if (field == null) {
            throw unusable(split, "there is no field '" + name + "'; the fields are "
                    + schema.getFields().stream().map(Schema.Field::name).collect(Collectors.joining(", ")));
        }
        return field;
    }

    /** The one type of a field that is not null. */
    private Schema requireType(String field, Schema declared, String expectation, Schema.Type... allowed) {
        List<Schema> types = new ArrayList<>();
        if (declared.getType() == Schema.Type.UNION) {
            types.addAll(declared.getTypes());
            types.removeIf(type -> type.getType() == Schema.Type.NULL);
        } else {
            types.add(declared);
        }
        for (Schema.Type type : allowed) {
            if (types.size() == 1 && types.get(0).getType() == type) {
                return types.get(0);
            }
        }
        throw unusable(split, "the field '" + field + "' is of type " + declared + "; " + expectation);
    }

    @Override
    boolean next() throws IOException {
        if (!records.hasNext() || records.pastSync(split.getStart() + split.getLength())) {
            return false;
        }
        record = records.next(record);
        return true;
    }

    @Override
    EmbeddingRow row() {
        Number id = (Number) record.get(0);
        if (id == null) {
            return DelimitedText.withoutId();
        }
        List<?> array = (List<?>) record.get(1);
        if (array == null) {
            return sink -> sink.nullEmbedding(id.longValue());
        }
        double[] embedding = new double[array.size()];
        for (int component = 0; component < embedding.length; component++) {
            Number value = (Number) array.get(component);
            if (value == null) {
                return sink -> sink.nullComponent(id.longValue());
            }
            embedding[component] = value.doubleValue();
        }
        return sink -> sink.add(id.longValue(), embedding);
    }

    @Override
    float progress() throws IOException {
        return Math.min(1, (records.tell() - split.getStart()) / (float) Math.max(1, split.getLength()));
    }

    @Override
    public void close() throws IOException {
        if (records != null) {
            records.close();
        }
    }

    private static final class HadoopInput implements SeekableInput {
        private final FSDataInputStream stream;
        private final long length;

        HadoopInput(Path path, Configuration configuration) throws IOException {
            length = path.getFileSystem(configuration).getFileStatus(path).getLen();
            stream = path.getFileSystem(configuration).open(path);
        }

        @Override
        public void seek(long position) throws IOException {
            stream.seek(position);
        }

        @Override
        public long tell() throws IOException {
            return stream.getPos();
        }

        @Override
        public long length() {
            return length;
        }

        @Override
        public int read(byte[] buffer, int offset, int bytes) throws IOException {
            return stream.read(buffer, offset, bytes);
        }

        @Override
        public void close() throws IOException {
            stream.close();
        }
    }
}
