package io.faissindexer.beam;

import com.google.api.services.bigquery.model.ErrorProto;
import com.google.api.services.bigquery.model.Job;
import com.google.api.services.bigquery.model.JobConfigurationExtract;
import com.google.api.services.bigquery.model.JobConfigurationQuery;
import com.google.api.services.bigquery.model.JobReference;
import com.google.api.services.bigquery.model.JobStatistics2;
import com.google.api.services.bigquery.model.Table;
import com.google.api.services.bigquery.model.TableFieldSchema;
import com.google.api.services.bigquery.model.TableReference;
import com.google.api.services.bigquery.model.TableSchema;
import com.google.cloud.bigquery.storage.v1.DataFormat;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.StagedBuild;
import java.io.IOException;
import java.io.Serializable;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.beam.sdk.io.BoundedSource;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.EmptyMatchTreatment;
import org.apache.beam.sdk.io.fs.MatchResult.Metadata;
import org.apache.beam.sdk.io.fs.MoveOptions.StandardMoveOptions;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryHelpers;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryOptions;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices.DatasetService;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServices.JobService;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryServicesImpl;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryStorageTableSource;
import org.apache.beam.sdk.options.ValueProvider.StaticValueProvider;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;

/**
 * A table of BigQuery, or a query, as one build reads it. The jobs of BigQuery have names that the build gives, and
 * BigQuery knows a name once: whichever pass or attempt asks first starts a job, and the others find it.
 */
final class BigQueryInput implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final String NAME = "faiss_indexer";
    /** What a failed build has left expires by then; longer than a build takes. */
    private static final long TABLE_DAYS = 3;

    private final BigQueryServices services;
    private final String build;
    private final String table;
    private final String query;
    private final EmbeddingColumns columns;
    private final String tempDataset;

    private BigQueryInput(
            BigQueryServices services,
            String build,
            String table,
            String query,
            EmbeddingColumns columns,
            String tempDataset) {
        this.services = services;
        this.build = build;
        this.table = table;
        this.query = query;
        this.columns = columns;
        this.tempDataset = tempDataset;
    }

    static BigQueryInput ofTable(String table, EmbeddingColumns columns) {
        try {
            BigQueryHelpers.parseTableSpec(table);
        } catch (IllegalArgumentException failure) {
            throw new FaissIndexException(Kind.INVALID_SPEC,
                    "a table is project:dataset.table or dataset.table, not '" + table + "'", failure);
        }
        return new BigQueryInput(
                new BigQueryServicesImpl(), StagedBuild.newName(), table, null, columns, null);
    }

    static BigQueryInput ofQuery(String sql, EmbeddingColumns columns) {
        return new BigQueryInput(new BigQueryServicesImpl(), StagedBuild.newName(), null,
                Objects.requireNonNull(sql, "sql"), columns, null);
    }

    BigQueryInput withTempDataset(String dataset) {
        return new BigQueryInput(services, build, table, query, columns, dataset);
    }

    BigQueryInput groupedBy(String column) {
        return new BigQueryInput(services, build, table, query, columns.groupedBy(column), tempDataset);
    }

    boolean isGrouped() {
        return columns.group().isPresent();
    }

    BigQueryInput withServices(BigQueryServices other) {
        return new BigQueryInput(other, build, table, query, columns, tempDataset);
    }

    BigQueryInput forBuild(String name) {
        return new BigQueryInput(services, name, table, query, columns, tempDataset);
    }

    /** Fails unless the table or the query is there and has the columns. */
    void check(BigQueryOptions options) {
        TableSchema schema;
        try {
            schema = query == null ? existing(namedTable(options), options).getSchema() : dryRun(options).getSchema();
        } catch (IOException failure) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "BigQuery refuses "
                    + (query == null ? "the table " + table : "the query") + ": "
                    + RootCause.message(failure), failure);
        } catch (InterruptedException interrupt) {
            Thread.currentThread().interrupt();
            throw new FaissIndexException(Kind.CANCELLED, "cancelled while BigQuery was asked for columns", interrupt);
        }
        checkColumns(schema);
    }

    /** All rows of the table or of the query's result, as the Storage Read API hands them out. */
    BoundedSource<KV<String, KV<Long, float[]>>> source(BigQueryOptions options)
            throws IOException, InterruptedException {
        TableReference rows = queriedOrNamedTable(options);
        checkColumns(existing(rows, options).getSchema());
        BigQueryRows parse = rows();
        return BigQueryStorageTableSource.create(
                StaticValueProvider.of(rows),
                DataFormat.AVRO,
                StaticValueProvider.of(columns.names()),
                null,
                record -> parse.apply(record.getRecord()),
                FloatArrayCoder.ofGroupedRows(),
                services,
                false);
    }

    /** Exports all rows once, to files of Avro that match the pattern. */
    String export(BigQueryOptions options) throws IOException, InterruptedException {
        TableReference rows = queriedOrNamedTable(options);
        JobReference job = job("export", location(rows, options), options);
        String files = exportedFiles(options);
        JobService jobs = services.getJobService(options);
        await(jobs, job, () -> jobs.startExtractJob(job, new JobConfigurationExtract()
                .setSourceTable(rows)
                .setDestinationFormat("AVRO")
                .setDestinationUris(List.of(files))));
        return files;
    }

    /** Takes rows out of records. */
    BigQueryRows rows() {
        return new BigQueryRows(columns);
    }

    /** Deletes the files of the export. */
    void deleteExport(BigQueryOptions options) throws IOException {
        List<Metadata> files =
                FileSystems.match(exportedFiles(options), EmptyMatchTreatment.ALLOW).metadata();
        FileSystems.delete(
                files.stream().map(Metadata::resourceId).collect(Collectors.toList()),
                StandardMoveOptions.IGNORE_MISSING_FILES);
    }

    /** Deletes the result of the query. */
    void deleteResult(BigQueryOptions options) throws IOException, InterruptedException {
        if (query != null) {
            TableReference result = resultTable(dryRunLocation(options), options);
            withDatasets(options, datasets -> {
                datasets.deleteTable(result);
                return null;
            });
        }
    }

    void populateDisplayData(DisplayData.Builder builder) {
        builder.addIfNotNull(DisplayData.item("table", table))
                .addIfNotNull(DisplayData.item("query", query));
        columns.populateDisplayData(builder);
    }

    private void checkColumns(TableSchema schema) {
        columns.requireAllIn(
                schema.getFields().stream().map(TableFieldSchema::getName).collect(Collectors.toList()));
    }

    private TableReference queriedOrNamedTable(BigQueryOptions options) throws IOException, InterruptedException {
        return query == null ? namedTable(options) : queriedTable(options);
    }

    private TableReference namedTable(BigQueryOptions options) {
        TableReference named = BigQueryHelpers.parseTableSpec(table);
        return named.getProjectId() == null ? named.setProjectId(project(options)) : named;
    }

    private TableReference queriedTable(BigQueryOptions options) throws IOException, InterruptedException {
        String location = dryRunLocation(options);
        TableReference result = resultTable(location, options);
        if (tempDataset == null) {
            withDatasets(options, datasets -> {
                datasets.createDataset(result.getProjectId(), result.getDatasetId(), location,
                        "Results of queries that indices are built of", TimeUnit.DAYS.toMillis(TABLE_DAYS));
                return null;
            });
        }
        JobReference job = job("query", location, options);
        JobService jobs = services.getJobService(options);
        await(jobs, job, () -> jobs.startQueryJob(job, query()
                .setDestinationTable(result)
                .setCreateDisposition("CREATE_IF_NEEDED")
                .setWriteDisposition("WRITE_TRUNCATE")));
        return result;
    }

    /** Where the result of the query will be. A dataset is in one location, so there is one for each. */
    private TableReference resultTable(String location, BigQueryOptions options) {
        String ownDataset =
                location == null ? NAME : NAME + "_" + location.toLowerCase(Locale.ROOT).replace('-', '_');
        return new TableReference()
                .setProjectId(project(options))
                .setDatasetId(tempDataset == null ? ownDataset : tempDataset)
                .setTableId(NAME + "_" + build);
    }

    private JobConfigurationQuery query() {
        return new JobConfigurationQuery().setQuery(query).setUseLegacySql(false);
    }

    private JobStatistics2 dryRun(BigQueryOptions options) throws IOException, InterruptedException {
        return services.getJobService(options).dryRunQuery(project(options), query(), null).getQuery();
    }

    private String dryRunLocation(BigQueryOptions options) throws IOException, InterruptedException {
        List<TableReference> read = dryRun(options).getReferencedTables();
        return read == null || read.isEmpty() ? null : location(read.get(0), options);
    }

    private String location(TableReference of, BigQueryOptions options) throws IOException, InterruptedException {
        return withDatasets(options, datasets ->
                datasets.getDataset(of.getProjectId(), of.getDatasetId()).getLocation());
    }

    private Table existing(TableReference reference, BigQueryOptions options)
            throws IOException, InterruptedException {
        Table found = withDatasets(options, datasets -> datasets.getTable(reference));
        if (found == null) {
            throw new FaissIndexException(Kind.INVALID_SPEC,
                    "there is no table " + BigQueryHelpers.toTableSpec(reference));
        }
        if ("VIEW".equals(found.getType())) {
            throw new FaissIndexException(Kind.INVALID_SPEC,
                    BigQueryHelpers.toTableSpec(reference) + " is a view, which only a query can read");
        }
        return found;
    }

    private JobReference job(String work, String location, BigQueryOptions options) {
        return new JobReference()
                .setProjectId(project(options))
                .setLocation(location)
                .setJobId(NAME + "_" + work + "_" + build);
    }

    private String exportedFiles(BigQueryOptions options) {
        String directory = options.getTempLocation();
        return directory + (directory.endsWith("/") ? "" : "/") + NAME + "/" + build + "/*.avro";
    }

    private static String project(BigQueryOptions options) {
        return options.getBigQueryProject() == null ? options.getProject() : options.getBigQueryProject();
    }

    private static void await(JobService jobs, JobReference reference, Start start)
            throws IOException, InterruptedException {
        if (jobs.getJob(reference) == null) {
            start.start();
        }
        Job job = jobs.pollJob(reference, Integer.MAX_VALUE);
        ErrorProto error = job.getStatus().getErrorResult();
        if (error != null) {
            throw new FaissIndexException(Kind.STORAGE,
                    "BigQuery's job " + reference.getJobId() + " failed: " + error.getMessage());
        }
    }

    private <T> T withDatasets(BigQueryOptions options, Datasets<T> call) throws IOException, InterruptedException {
        DatasetService datasets = services.getDatasetService(options);
        try {
            return call.call(datasets);
        } finally {
            close(datasets);
        }
    }

    private static void close(AutoCloseable service) throws IOException {
        try {
            service.close();
        } catch (Exception failure) {
            throw new IOException(failure);
        }
    }

    private interface Start {
        void start() throws IOException, InterruptedException;
    }

    private interface Datasets<T> {
        T call(DatasetService datasets) throws IOException, InterruptedException;
    }
}
