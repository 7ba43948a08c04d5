package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import org.apache.beam.sdk.io.gcp.bigquery.BigQueryIO.TypedRead.Method;
import org.apache.beam.sdk.io.gcp.testing.FakeBigQueryServices;
import org.junit.Before;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;

public class BigQueryRefusalsTest {
    private FakeBigQueryServices services;

    @Before
    public void begin() throws IOException, InterruptedException {
        services = new FakeBigQuery().services();
    }

    private BigQueryEmbeddings table(String table, Method method) {
        return BigQueryEmbeddings.ofTable(table, "entityId", "embedding", method).withServices(services);
    }

    private static void assertRefused(String message, ThrowingRunnable run) {
        FaissIndexException failure = assertThrows(FaissIndexException.class, run);
        assertEquals(failure.getMessage(), Kind.INVALID_SPEC, failure.kind());
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
    }

    @Test
    public void whatIsNoTableIsRefusedAtOnce() {
        assertRefused("project:dataset.table", () -> table("embeddings", Method.DIRECT_READ));
    }

    @Test
    public void tablesThatAreNotThereOrAreViewsAreRefusedByName() {
        String temporary = System.getProperty("java.io.tmpdir");
        for (Method method : Method.values()) {
            assertRefused("there is no table project:dataset.absent",
                    () -> table("project:dataset.absent", method).validate(FakeBigQuery.options(temporary)));
            assertRefused("project:dataset.view is a view",
                    () -> table(FakeBigQuery.VIEW, method).validate(FakeBigQuery.options(temporary)));
        }
    }

    @Test
    public void anExportWithoutATemporaryLocationIsRefused() {
        assertRefused("temporary location",
                () -> table(FakeBigQuery.TABLE, Method.EXPORT).validate(FakeBigQuery.options(null)));
        table(FakeBigQuery.TABLE, Method.DIRECT_READ).validate(FakeBigQuery.options(null));
    }
}
