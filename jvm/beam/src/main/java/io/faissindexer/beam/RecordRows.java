package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.IndexedRecord;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.KV;

/**
 * Takes the id and the embedding out of a record, whose components are rounded to the nearest float. A component that
 * is null becomes one that is not a number, for which the row is left out as well.
 */
final class RecordRows implements SerializableFunction<GenericRecord, KV<Long, float[]>> {
    private static final long serialVersionUID = 1L;

    private final String idColumn;
    private final String embeddingColumn;

    RecordRows(String idColumn, String embeddingColumn) {
        this.idColumn = idColumn;
        this.embeddingColumn = embeddingColumn;
    }

    @Override
    public KV<Long, float[]> apply(GenericRecord record) {
        Object id = value(record, idColumn);
        if (id != null && !(id instanceof Long || id instanceof Integer)) {
            throw unusable(idColumn, id, "ids are whole numbers");
        }
        Object embedding = value(record, embeddingColumn);
        if (embedding != null && !(embedding instanceof List)) {
            throw unusable(embeddingColumn, embedding, "embeddings are arrays of floats or doubles");
        }
        return KV.of(
                id == null ? null : Long.valueOf(((Number) id).longValue()),
                embedding == null ? null : components((List<?>) embedding));
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
                throw unusable(embeddingColumn, value, "components are floats or doubles");
            }
            components[at++] = value == null ? Float.NaN : ((Number) value).floatValue();
        }
        return components;
    }

    private static boolean hasOneField(IndexedRecord group) {
        return group.getSchema().getFields().size() == 1;
    }

    private static Object value(GenericRecord record, String column) {
        Schema.Field field = record.getSchema().getField(column);
        if (field == null) {
            throw noColumn(column, record.getSchema().getFields().stream().map(Schema.Field::name));
        }
        return record.get(field.pos());
    }

    /** The failure for a column that is not among those of an input. */
    static FaissIndexException noColumn(String column, Stream<String> columns) {
        return new FaissIndexException(Kind.INVALID_SPEC,
                "there is no column '" + column + "'; the columns are " + columns.collect(Collectors.joining(", ")));
    }

    private static FaissIndexException unusable(String column, Object value, String expectation) {
        return new FaissIndexException(Kind.INVALID_SPEC, "the column '" + column + "' holds values of "
                + value.getClass().getSimpleName() + "; " + expectation);
    }
}
