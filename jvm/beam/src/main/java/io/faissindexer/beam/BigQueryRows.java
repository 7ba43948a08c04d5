package io.faissindexer.beam;

import org.apache.avro.generic.GenericRecord;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.KV;

/** Takes the id and the embedding out of a record of BigQuery, whose arrays are empty where they are NULL. */
final class BigQueryRows implements SerializableFunction<GenericRecord, KV<Long, float[]>> {
    private static final long serialVersionUID = 1L;

    private final RecordRows rows;

    BigQueryRows(String idColumn, String embeddingColumn) {
        rows = new RecordRows(idColumn, embeddingColumn);
    }

    @Override
    public KV<Long, float[]> apply(GenericRecord record) {
        KV<Long, float[]> row = rows.apply(record);
        return row.getValue() != null && row.getValue().length == 0 ? KV.of(row.getKey(), null) : row;
    }
}
