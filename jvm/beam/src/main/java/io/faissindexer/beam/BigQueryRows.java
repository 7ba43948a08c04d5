package io.faissindexer.beam;

import org.apache.avro.generic.GenericRecord;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.values.KV;

/** Takes a row and its group out of a record of BigQuery, whose arrays are empty where they are NULL. */
final class BigQueryRows implements SerializableFunction<GenericRecord, KV<String, KV<Long, float[]>>> {
    private static final long serialVersionUID = 1L;

    private final RecordRows rows;

    BigQueryRows(EmbeddingColumns columns) {
        rows = new RecordRows(columns);
    }

    @Override
    public KV<String, KV<Long, float[]>> apply(GenericRecord record) {
        KV<String, KV<Long, float[]>> row = rows.apply(record);
        float[] embedding = row.getValue().getValue();
        return embedding != null && embedding.length == 0
                ? KV.of(row.getKey(), KV.of(row.getValue().getKey(), null))
                : row;
    }
}
