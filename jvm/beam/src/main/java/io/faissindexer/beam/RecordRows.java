package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.IndexedRecord;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.KV;

/**
 * Takes the group, the id and the embedding out of a record, whose components are rounded to the nearest float. A
 * component that is null becomes one that is not a number, for which the row is left out as well.
 */
final class RecordRows implements SerializableFunction<GenericRecord, KV<String, KV<Long, float[]>>> {
    private static final long serialVersionUID = 1L;

    private final EmbeddingColumns columns;

    RecordRows(EmbeddingColumns columns) {
        this.columns = columns;
    }

    @Override
    public KV<String, KV<Long, float[]>> apply(GenericRecord record) {
        Object id = value(record, columns.id());
        if (id != null && !isWholeNumber(id)) {
            throw unusable(columns.id(), id, "ids are whole numbers");
        }
        Object embedding = value(record, columns.embedding());
        if (embedding != null && !(embedding instanceof List)) {
            throw unusable(columns.embedding(), embedding, "embeddings are arrays of floats or doubles");
        }
        return KV.of(
                columns.group().map(column -> group(record, column, id)).orElse(EmbeddingSource.ALL_ROWS),
                KV.of(
                        id == null ? null : Long.valueOf(((Number) id).longValue()),
                        embedding == null ? null : components((List<?>) embedding)));
    }

    private String group(GenericRecord record, String column, Object id) {
        Object group = value(record, column);
        if (group == null) {
            throw new FaissIndexException(Kind.BAD_ROWS, "the row with the id " + id + " has no group in the column '"
                    + column + "'; a query can leave such rows out, or give them one");
        }
        if (!(group instanceof CharSequence || isWholeNumber(group))) {
            throw unusable(column, group, "groups are strings or whole numbers");
        }
        return group.toString();
    }

    private float[] components(List<?> list) {
        float[] components = new float[list.size()];
        int at = 0;
        for (Object element : list) {
            // Parquet's lists are lists of groups of one.
            Object value = element instanceof IndexedRecord && hasOneField((IndexedRecord) element)
                    ? ((IndexedRecord) element).get(0)
                    : element;
            if (value != null && !(value instanceof Float || value instanceof Double)) {
                throw unusable(columns.embedding(), value, "components are floats or doubles");
            }
            components[at++] = value == null ? Float.NaN : ((Number) value).floatValue();
        }
        return components;
    }

    private static boolean isWholeNumber(Object value) {
        return value instanceof Long || value instanceof Integer;
    }

    private static boolean hasOneField(IndexedRecord group) {
        return group.getSchema().getFields().size() == 1;
    }

    private Object value(GenericRecord record, String column) {
        Schema.Field field = record.getSchema().getField(column);
        if (field == null) {
            columns.requireAllIn(record.getSchema().getFields().stream().map(Schema.Field::name)
                    .collect(Collectors.toList()));
        }
        return record.get(field.pos());
    }

    private static FaissIndexException unusable(String column, Object value, String expectation) {
        return new FaissIndexException(Kind.INVALID_SPEC, "the column '" + column + "' holds values of "
                + value.getClass().getSimpleName() + "; " + expectation);
    }
}
