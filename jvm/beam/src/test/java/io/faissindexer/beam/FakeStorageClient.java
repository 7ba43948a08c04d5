package io.faissindexer.beam;

import com.google.api.services.bigquery.model.TableFieldSchema;
import com.google.api.services.bigquery.model.TableReference;
import com.google.api.services.bigquery.model.TableRow;
import com.google.cloud.bigquery.storage.v1.AvroRows;
import com.google.cloud.bigquery.storage.v1.AvroSchema;
import com.google.cloud.bigquery.storage.v1.CreateReadSessionRequest;
import com.google.cloud.bigquery.storage.v1.DataFormat;
import com.google.cloud.bigquery.storage.v1.ReadRowsRequest;
import com.google.cloud.bigquery.storage.v1.ReadRowsResponse;
import com.google.cloud.bigquery.storage.v1.ReadSession;
import com.google.cloud.bigquery.storage.v1.ReadStream;
import com.google.cloud.bigquery.storage.v1.SplitReadStreamRequest;
import com.google.cloud.bigquery.storage.v1.SplitReadStreamResponse;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.io.Serializable;
import java.io.UncheckedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.EncoderFactory;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryHelpers;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices.BigQueryServerStream;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices.StorageClient;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryUtils;
import org.apache.beam.sdk.io.gcp.testing.FakeBigQueryServices.FakeBigQueryServerStream;
import org.apache.beam.sdk.io.gcp.testing.FakeDatasetService;

/** The tables of a fake service: the selected columns, in several streams of several blocks. */
final class FakeStorageClient implements StorageClient, Serializable {
    private static final long serialVersionUID = 1L;
    private static final int STREAMS = 3;
    private static final int BLOCK_ROWS = 100;
    private static final String STREAM = "/streams/";

    private final FakeDatasetService datasets;

    FakeStorageClient(FakeDatasetService datasets) {
        this.datasets = datasets;
    }

    @Override
    public ReadSession createReadSession(CreateReadSessionRequest request) {
        ReadSession wanted = request.getReadSession();
        List<String> columns = wanted.getReadOptions().getSelectedFieldsList();
        ReadSession.Builder session = wanted.toBuilder()
                .setDataFormat(DataFormat.AVRO)
                .setAvroSchema(AvroSchema.newBuilder().setSchema(schema(wanted.getTable(), columns).toString()));
        for (int stream = 0; stream < STREAMS; stream++) {
            session.addStreams(ReadStream.newBuilder()
                    .setName(wanted.getTable() + STREAM + stream + "/" + String.join(",", columns)));
        }
        return session.build();
    }

    @Override
    public BigQueryServerStream<ReadRowsResponse> readRows(ReadRowsRequest request) {
        String[] tableAndStream = request.getReadStream().split(STREAM);
        String[] streamAndColumns = tableAndStream[1].split("/");
        Schema schema = schema(tableAndStream[0], List.of(streamAndColumns[1].split(",")));
        List<TableRow> all = rows(tableAndStream[0]);
        List<TableRow> ofStream = new ArrayList<>();
        for (int row = Integer.parseInt(streamAndColumns[0]); row < all.size(); row += STREAMS) {
            ofStream.add(all.get(row));
        }
        List<ReadRowsResponse> blocks = new ArrayList<>();
        for (int row = 0; row < ofStream.size(); row += BLOCK_ROWS) {
            blocks.add(block(schema, ofStream.subList(row, Math.min(ofStream.size(), row + BLOCK_ROWS))));
        }
        return new FakeBigQueryServerStream<>(blocks);
    }

    @Override
    public BigQueryServerStream<ReadRowsResponse> readRows(ReadRowsRequest request, String fullTableId) {
        return readRows(request);
    }

    @Override
    public SplitReadStreamResponse splitReadStream(SplitReadStreamRequest request) {
        return SplitReadStreamResponse.getDefaultInstance();
    }

    @Override
    public SplitReadStreamResponse splitReadStream(SplitReadStreamRequest request, String fullTableId) {
        return splitReadStream(request);
    }

    @Override
    public void close() {
    }

    private Schema schema(String table, List<String> columns) {
        try {
            List<TableFieldSchema> fields =
                    datasets.getTable(BigQueryHelpers.parseTableUrn(table)).getSchema().getFields();
            return BigQueryUtils.toGenericAvroSchema("row", fields.stream()
                    .filter(field -> columns.contains(field.getName())).collect(Collectors.toList()));
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        } catch (InterruptedException interrupt) {
            throw new IllegalStateException(interrupt);
        }
    }

    private List<TableRow> rows(String table) {
        TableReference reference = BigQueryHelpers.parseTableUrn(table);
        try {
            return datasets.getAllRows(reference.getProjectId(), reference.getDatasetId(), reference.getTableId());
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        } catch (InterruptedException interrupt) {
            throw new IllegalStateException(interrupt);
        }
    }

    private static ReadRowsResponse block(Schema schema, List<TableRow> rows) {
        ByteString.Output bytes = ByteString.newOutput();
        BinaryEncoder encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        GenericDatumWriter<GenericRecord> writer = new GenericDatumWriter<>(schema);
        try {
            for (TableRow row : rows) {
                GenericRecord record = new GenericData.Record(schema);
                schema.getFields().forEach(field -> record.put(field.name(), row.get(field.name())));
                writer.write(record, encoder);
            }
            encoder.flush();
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
        AvroRows serialized = AvroRows.newBuilder().setSerializedBinaryRows(bytes.toByteString()).build();
        return ReadRowsResponse.newBuilder().setAvroRows(serialized).setRowCount(rows.size()).build();
    }
}
