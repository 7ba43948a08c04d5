package io.faissindexer;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A Python with the faiss-cpu wheel of PyPI, which reads what was built. */
public final class StockFaiss {
    private static final int QUERIES = 20;
    private static final int NEIGHBOURS = 10;
    private static final String ALL_LISTS = "16";

    private final String python;
    private final String version;

    private StockFaiss(String property, String variable, String version) {
        python = System.getProperty(property, "");
        this.version = version;
        assertTrue("set " + variable + " to a Python that has faiss-cpu " + version, !python.isEmpty());
    }

    /** The versions that every index is read with. */
    public static List<StockFaiss> versions() {
        return Arrays.asList(
                new StockFaiss("faissindexer.test.pythonCurrent", "FAISS_INDEXER_PYTHON_CURRENT", "1.15.1"),
                new StockFaiss("faissindexer.test.pythonOld", "FAISS_INDEXER_PYTHON_OLD", "1.7.4"));
    }

    /**
     * Checks that an index holds these rows: searching for some of them finds them, as the nearest for families that
     * keep embeddings well apart, else among the nearest.
     */
    public void assertHolds(Path index, Embeddings embeddings, boolean exactly)
            throws IOException, InterruptedException {
        List<String> lines = search(index, queries(embeddings));
        assertEquals("faiss " + version, lines.get(0));
        assertEquals("rows " + embeddings.rows(), lines.get(1));
        int found = 0;
        for (int query = 0; query < QUERIES; query++) {
            List<String> ids = Arrays.asList(lines.get(3 + query).split(" "));
            String wanted = Long.toString(embeddings.id(row(query, embeddings)));
            if (exactly) {
                assertEquals("nearest of query " + query, wanted, ids.get(0));
            }
            found += ids.contains(wanted) ? 1 : 0;
        }
        assertTrue("found " + found + " of " + QUERIES, found >= QUERIES * 9 / 10);
    }

    private static int row(int query, Embeddings embeddings) {
        return query * (embeddings.rows() / QUERIES);
    }

    private static Path queries(Embeddings embeddings) throws IOException {
        int dimension = embeddings.vector(0).length;
        ByteBuffer bytes = ByteBuffer.allocate(QUERIES * dimension * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        for (int query = 0; query < QUERIES; query++) {
            for (float component : embeddings.vector(row(query, embeddings))) {
                bytes.putFloat(component);
            }
        }
        return Files.write(Files.createTempFile("queries", ".f32"), bytes.array());
    }

    private List<String> search(Path index, Path queries) throws IOException, InterruptedException {
        String script = System.getProperty("faissindexer.test.readback") + "/search.py";
        List<String> command = Arrays.asList(
                python, script, index.toString(), queries.toString(), Integer.toString(NEIGHBOURS), ALL_LISTS);
        Path output = Files.createTempFile("search", ".txt");
        try {
            Process process =
                    new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
            int code = process.waitFor();
            List<String> lines = new ArrayList<>(Files.readAllLines(output, StandardCharsets.UTF_8));
            assertEquals(String.join("\n", lines), 0, code);
            return lines;
        } finally {
            Files.delete(output);
            Files.delete(queries);
        }
    }
}
