package io.faissindexer.beam;

import com.google.api.services.bigquery.model.Job;
import com.google.api.services.bigquery.model.JobStatistics;
import com.google.api.services.bigquery.model.JobStatistics2;
import com.google.api.services.bigquery.model.Table;
import com.google.api.services.bigquery.model.TableFieldSchema;
import com.google.api.services.bigquery.model.TableReference;
import com.google.api.services.bigquery.model.TableRow;
import com.google.api.services.bigquery.model.TableSchema;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryOptions;
import org.apache.beam.sdk.io.gcp.testing.FakeBigQueryServices;
import org.apache.beam.sdk.io.gcp.testing.FakeDatasetService;
import org.apache.beam.sdk.io.gcp.testing.FakeJobService;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.values.KV;

/** What Beam tests BigQuery with: one table in this process, and queries that name their result. */
final class FakeBigQuery {
    static final String TABLE = "project:dataset.embeddings";
    static final String VIEW = "project:dataset.view";
    private static final String PROJECT = "project";
    private static final TableSchema SCHEMA = new TableSchema().setFields(List.of(
            new TableFieldSchema().setName("comment").setType("STRING").setMode("NULLABLE"),
            new TableFieldSchema().setName("entityId").setType("INTEGER").setMode("NULLABLE"),
            new TableFieldSchema().setName("embedding").setType("FLOAT").setMode("REPEATED")));

    private final FakeDatasetService datasets = new FakeDatasetService();
    private final FakeJobService jobs = new FewFilesJobService();

    /** A service with an empty table and nothing else. */
    FakeBigQuery() throws IOException, InterruptedException {
        FakeDatasetService.setUp();
        datasets.createDataset(PROJECT, "dataset", null, null, null);
        datasets.createTable(table("embeddings"));
        datasets.createTable(table("view").setType("VIEW"));
    }

    private static Table table(String name) {
        return new Table()
                .setTableReference(
                        new TableReference().setProjectId(PROJECT).setDatasetId("dataset").setTableId(name))
                .setSchema(SCHEMA)
                .setNumBytes(0L);
    }

    static BigQueryOptions options(String tempLocation) {
        BigQueryOptions options = PipelineOptionsFactory.as(BigQueryOptions.class);
        options.setProject(PROJECT);
        options.setTempLocation(tempLocation);
        return options;
    }

    FakeBigQueryServices services() {
        return new FakeBigQueryServices()
                .withDatasetService(datasets)
                .withJobService(jobs)
                .withStorageClient(new FakeStorageClient(datasets));
    }

    static List<TableRow> rows(List<KV<Long, float[]>> embeddings) {
        return embeddings.stream().map(FakeBigQuery::row).collect(Collectors.toList());
    }

    static TableRow row(KV<Long, float[]> row) {
        float[] embedding = row.getValue();
        return row(row.getKey(), IntStream.range(0, embedding.length).mapToDouble(at -> embedding[at]).toArray());
    }

    /** A row; BigQuery keeps an array that is NULL as an empty one. */
    static TableRow row(Long id, double... embedding) {
        List<Double> components = Arrays.stream(embedding).boxed().collect(Collectors.toList());
        return new TableRow().set("comment", "none").set("entityId", id).set("embedding", components);
    }

    void fill(List<TableRow> rows) throws IOException, InterruptedException {
        datasets.insertAll(table("embeddings").getTableReference(), rows, null);
    }

    /** A query with these rows as its result. */
    String query(List<TableRow> rows) throws IOException {
        String query = FakeBigQueryServices.encodeQueryResult(table("result"), rows);
        jobs.expectDryRunQuery(PROJECT, query, new JobStatistics().setQuery(new JobStatistics2()
                .setSchema(SCHEMA)
                .setReferencedTables(List.of(table("embeddings").getTableReference()))));
        return query;
    }

    long queryJobs() {
        return results().size();
    }

    long exportJobs() {
        return jobs.getNumExtractJobCalls();
    }

    /** The results of queries that are still there. */
    List<TableReference> resultsLeft() throws IOException, InterruptedException {
        List<TableReference> left = new ArrayList<>();
        for (TableReference result : results()) {
            if (datasets.getTable(result) != null) {
                left.add(result);
            }
        }
        return left;
    }

    private List<TableReference> results() {
        return jobs.getAllJobs().stream()
                .map(Job::getConfiguration)
                .filter(job -> job.getQuery() != null)
                .map(job -> job.getQuery().getDestinationTable())
                .collect(Collectors.toList());
    }
}
