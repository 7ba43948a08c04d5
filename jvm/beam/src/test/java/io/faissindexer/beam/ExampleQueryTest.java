package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;

import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.Statement;
import java.util.Map;
import java.util.TreeMap;
import org.junit.Test;

/** Runs the query of the examples in another database: it says nothing that is BigQuery's alone. */
public class ExampleQueryTest {
    @Test
    public void itSelectsTheLatestEmbeddingOfEachEntityAndNoOther() throws Exception {
        String sql = Files.readString(Path.of(System.getProperty("faissindexer.test.examples"), "dataflow", "bq.sql"));
        Map<Long, Double> latest = new TreeMap<>();
        try (Connection connection = DriverManager.getConnection("jdbc:h2:mem:");
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE SCHEMA recommendations");
            statement.execute("CREATE TABLE recommendations.entity_embeddings"
                    + " (entityId BIGINT, embedding DOUBLE PRECISION ARRAY, ts TIMESTAMP, comment VARCHAR)");
            statement.execute("INSERT INTO recommendations.entity_embeddings VALUES"
                    + " (1, ARRAY[1], TIMESTAMP '2024-02-28 00:00:00', 'older'),"
                    + " (1, ARRAY[2], TIMESTAMP '2024-02-29 00:00:00', 'latest'),"
                    + " (2, ARRAY[3], TIMESTAMP '2024-02-27 00:00:00', 'only'),"
                    + " (NULL, ARRAY[4], TIMESTAMP '2024-02-29 00:00:00', 'of nobody')");
            try (ResultSet rows = statement.executeQuery(sql)) {
                assertEquals("entityId", 2, rows.getMetaData().getColumnCount());
                while (rows.next()) {
                    Object[] embedding = (Object[]) rows.getArray("embedding").getArray();
                    assertEquals("unique", null, latest.put(rows.getLong("entityId"), (Double) embedding[0]));
                }
            }
        }
        assertEquals(Map.of(1L, 2.0, 2L, 3.0), latest);
    }
}
