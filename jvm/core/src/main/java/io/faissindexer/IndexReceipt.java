package io.faissindexer;

import java.io.Serializable;
import java.util.Collections;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/** What a finished build reports. */
public final class IndexReceipt implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final String SECONDS = "seconds.";

    private final TreeMap<String, String> facts;

    /** A receipt of what the native library states. */
    public IndexReceipt(Map<String, String> facts) {
        this.facts = new TreeMap<>(facts);
    }

    /** Where the index is; for several shards, the directory that theirs are in. */
    public String index() {
        return fact("index");
    }

    /** Where the manifest of the index is. */
    public String manifest() {
        return fact("manifest");
    }

    /** Rows in the index. */
    public long rows() {
        return Long.parseLong(fact("rows"));
    }

    /** Bytes of the index file, or of all shards. */
    public long bytes() {
        return Long.parseLong(fact("bytes"));
    }

    /** What the trained index and the spec are recognised by. */
    public String fingerprint() {
        return fact("fingerprint");
    }

    /**
     * CRC-32C of the index file, eight hexadecimal digits, as Google Cloud Storage and HDFS state it too; one after the
     * other with commas between when there are several shards.
     */
    public String crc32c() {
        return fact("crc32c");
    }

    /** The index family that was built. */
    public String factoryString() {
        return fact("factoryString");
    }

    /** The metric of the index. */
    public String metric() {
        return fact("metric");
    }

    /** Components of an embedding. */
    public int dimension() {
        return Integer.parseInt(fact("dimension"));
    }

    /** Seconds that each stage took, by the name of the stage. */
    public SortedMap<String, Double> seconds() {
        TreeMap<String, Double> seconds = new TreeMap<>();
        facts.tailMap(SECONDS).forEach((key, value) -> {
            if (key.startsWith(SECONDS)) {
                seconds.put(key.substring(SECONDS.length()), Double.valueOf(value));
            }
        });
        return Collections.unmodifiableSortedMap(seconds);
    }

    /** The receipt as one line with one JSON object: rows, bytes, seconds by stage, fingerprint, index. */
    public String json() {
        return fact("json");
    }

    private String fact(String key) {
        String value = facts.get(key);
        if (value == null) {
            throw new FaissIndexException(FaissIndexException.Kind.INTERNAL, "the build's receipt has no " + key);
        }
        return value;
    }

    @Override
    public String toString() {
        return json();
    }
}
