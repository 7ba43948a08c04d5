package io.faissindexer.mapreduce.input;

import java.io.IOException;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;
import org.apache.parquet.hadoop.ParquetRecordReader;
import org.apache.parquet.hadoop.api.InitContext;
import org.apache.parquet.hadoop.api.ReadSupport;
import org.apache.parquet.io.api.GroupConverter;
import org.apache.parquet.io.api.RecordMaterializer;
import org.apache.parquet.schema.MessageType;

/** The two columns of Parquet files; of the others nothing is read. */
final class ParquetRows extends RowFileReader {
    private ParquetRecordReader<ParquetRow> records;

    @Override
    void open(FileSplit split, TaskAttemptContext context) throws IOException, InterruptedException {
        Configuration configuration = context.getConfiguration();
        ParquetColumns columns = new ParquetColumns(
                split, InputSettings.idColumn(configuration), InputSettings.embeddingColumn(configuration));
        records = new ParquetRecordReader<>(new TwoColumns(columns));
        records.initialize(split, context);
    }

    @Override
    boolean next() throws IOException, InterruptedException {
        return records.nextKeyValue();
    }

    @Override
    EmbeddingRow row() {
        try {
            return records.getCurrentValue();
        } catch (IOException | InterruptedException impossible) {
            throw new IllegalStateException(impossible);
        }
    }

    @Override
    float progress() throws IOException, InterruptedException {
        return records.getProgress();
    }

    @Override
    public void close() throws IOException {
        if (records != null) {
            records.close();
        }
    }

    private static final class TwoColumns extends ReadSupport<ParquetRow> {
        private final ParquetColumns columns;

        TwoColumns(ParquetColumns columns) {
            this.columns = columns;
        }

        @Override
        public ReadContext init(InitContext context) {
            return new ReadContext(columns.projection(context.getFileSchema()));
        }

        @Override
        public RecordMaterializer<ParquetRow> prepareForRead(Configuration configuration, Map<String, String> metadata,
                MessageType fileSchema, ReadContext context) {
            ParquetRow row = new ParquetRow();
            GroupConverter converter = columns.converter(context.getRequestedSchema(), row);
            return new RecordMaterializer<ParquetRow>() {
                @Override
                public ParquetRow getCurrentRecord() {
                    return row;
                }

                @Override
                public GroupConverter getRootConverter() {
                    return converter;
                }
            };
        }
    }
}
