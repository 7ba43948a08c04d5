package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import java.util.Objects;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.extensions.avro.io.AvroIO;
import org.apache.beam.sdk.io.BoundedSource;
import org.apache.beam.sdk.io.Compression;
import org.apache.beam.sdk.io.FileIO;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO.TypedRead.Method;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryOptions;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Reshuffle;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.TypeDescriptor;

/**
 * Embeddings in a table of BigQuery or in the result of a query.
 *
 * <p>A build reads all rows twice: for the sample and to encode them; once more where nobody says the dimension, and
 * once in a while for another sample. A query, and an export, is run once for a build, which deletes the result when
 * the index is in place; so all passes see the same rows. A table that is read directly is read as it is at the time,
 * and should not change during the build.
 *
 * <p>{@code BigQueryIO} reads as soon as the pipeline starts and cannot wait for a stage, which is why only what it is
 * made of is in use here.
 */
public final class BigQueryEmbeddings extends EmbeddingSource {
    private static final long serialVersionUID = 1L;

    private final BigQueryInput input;
    private final Method method;
    private final boolean isValidated;

    private BigQueryEmbeddings(BigQueryInput input, Method method, boolean isValidated) {
        this.input = input;
        this.method = Objects.requireNonNull(method, "method");
        this.isValidated = isValidated;
    }

    /**
     * Embeddings in a table.
     *
     * @param table {@code project:dataset.table} or {@code dataset.table}
     * @param idColumn of INT64
     * @param embeddingColumn of arrays of FLOAT64
     * @param method {@link Method#DIRECT_READ} through the Storage Read API, else an export to the temporary location
     */
    public static BigQueryEmbeddings ofTable(String table, String idColumn, String embeddingColumn, Method method) {
        EmbeddingColumns columns = EmbeddingColumns.of(idColumn, embeddingColumn);
        return new BigQueryEmbeddings(BigQueryInput.ofTable(table, columns), method, true);
    }

    /**
     * Embeddings that a query selects.
     *
     * @param sql standard SQL
     * @param idColumn of INT64
     * @param embeddingColumn of arrays of FLOAT64
     * @param method how the result is read, as in {@link #ofTable}
     */
    public static BigQueryEmbeddings ofQuery(String sql, String idColumn, String embeddingColumn, Method method) {
        EmbeddingColumns columns = EmbeddingColumns.of(idColumn, embeddingColumn);
        return new BigQueryEmbeddings(BigQueryInput.ofQuery(sql, columns), method, true);
    }

    /** The same embeddings, to be indexed by group; the column holds STRING or INT64. */
    public BigQueryEmbeddings groupedBy(String groupColumn) {
        return new BigQueryEmbeddings(input.groupedBy(groupColumn), method, isValidated);
    }

    @Override
    boolean isGrouped() {
        return input.isGrouped();
    }

    /**
     * Has the result of the query wait in a dataset that is there, instead of one that has to be made. The table is
     * deleted when the index is in place; after a build that failed only if tables of the dataset expire.
     */
    public BigQueryEmbeddings withTempDataset(String dataset) {
        return new BigQueryEmbeddings(input.withTempDataset(dataset), method, isValidated);
    }

    /** Does not ask BigQuery for the columns before the pipeline starts, as for tables that it makes. */
    public BigQueryEmbeddings withoutValidation() {
        return new BigQueryEmbeddings(input, method, false);
    }

    /** Reads from something that is like BigQuery. */
    BigQueryEmbeddings withServices(BigQueryServices services) {
        return new BigQueryEmbeddings(input.withServices(services), method, isValidated);
    }

    @Override
    EmbeddingSource forBuild(String build) {
        return new BigQueryEmbeddings(input.forBuild(build), method, isValidated);
    }

    @Override
    void release(PipelineOptions options) throws IOException, InterruptedException {
        if (method != Method.DIRECT_READ) {
            input.deleteExport(options.as(BigQueryOptions.class));
        }
        input.deleteResult(options.as(BigQueryOptions.class));
    }

    @Override
    public PCollection<KV<String, KV<Long, float[]>>> expand(PCollection<Integer> begins) {
        return method == Method.DIRECT_READ ? readDirectly(begins) : readExport(begins);
    }

    private PCollection<KV<String, KV<Long, float[]>>> readDirectly(PCollection<Integer> begins) {
        return begins
                .apply("streams", ParDo.of(new BigQueryStreamsFn(input)))
                .setCoder(SerializableCoder.of(new TypeDescriptor<BoundedSource<KV<String, KV<Long, float[]>>>>() { }))
                .apply("spread", Reshuffle.viaRandomKey())
                .apply("read", ParDo.of(new BoundedSourceFn()))
                .setCoder(FloatArrayCoder.ofGroupedRows());
    }

    private PCollection<KV<String, KV<Long, float[]>>> readExport(PCollection<Integer> begins) {
        return begins
                .apply("export", ParDo.of(new BigQueryExportFn(input)))
                .apply("files", ParDo.of(new InputFilesFn()))
                .apply("spread", Reshuffle.viaRandomKey())
                .apply("open", FileIO.readMatches().withCompression(Compression.UNCOMPRESSED))
                .apply("read", AvroIO.parseFilesGenericRecords(input.rows())
                        .withCoder(FloatArrayCoder.ofGroupedRows()));
    }

    @Override
    public void validate(PipelineOptions options) {
        if (method != Method.DIRECT_READ && options.getTempLocation() == null) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "an export of BigQuery needs a temporary location");
        }
        if (isValidated) {
            input.check(options.as(BigQueryOptions.class));
        }
    }

    @Override
    public void populateDisplayData(DisplayData.Builder builder) {
        super.populateDisplayData(builder);
        builder.add(DisplayData.item("method", method.name()));
        input.populateDisplayData(builder);
    }
}
