package io.faissindexer;

import java.io.Serializable;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.OptionalInt;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What index to build. Holds only what was set; the native library checks it, refuses what it does not know and fills
 * in the defaults, when a build starts.
 */
public final class IndexSpec implements Serializable {
    private static final long serialVersionUID = 1L;

    private final TreeMap<String, String> values;

    private IndexSpec(Map<String, String> values) {
        this.values = new TreeMap<>(values);
    }

    /** A spec in which nothing is set yet. */
    public static Builder builder() {
        return new Builder();
    }

    /** A builder that starts from this spec. */
    public Builder toBuilder() {
        Builder builder = new Builder();
        builder.values.putAll(values);
        return builder;
    }

    /** What was set, by key in alphabetical order. */
    public SortedMap<String, String> values() {
        return Collections.unmodifiableSortedMap(values);
    }

    /** The components of an embedding when they were set. */
    public OptionalInt dimension() {
        String value = values.get(SpecKey.DIMENSION.key());
        try {
            return value == null ? OptionalInt.empty() : OptionalInt.of(Integer.parseInt(value.trim()));
        } catch (NumberFormatException malformed) {
            throw new FaissIndexException(FaissIndexException.Kind.INVALID_SPEC,
                    SpecKey.DIMENSION.key() + "='" + value + "' is not a whole number", malformed);
        }
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof IndexSpec && values.equals(((IndexSpec) other).values);
    }

    @Override
    public int hashCode() {
        return values.hashCode();
    }

    @Override
    public String toString() {
        return "IndexSpec" + values;
    }

    /** Collects the values of a spec. Setting a key again replaces its value. */
    public static final class Builder {
        private final TreeMap<String, String> values = new TreeMap<>();

        private Builder() {
        }

        /** Sets a key as text; an unknown key is refused when the build starts. */
        public Builder set(String key, String value) {
            values.put(Objects.requireNonNull(key, "key"), Objects.requireNonNull(value, key));
            return this;
        }

        /** Sets a key as text. */
        public Builder set(SpecKey key, String value) {
            return set(key.key(), value);
        }

        /** Components of an embedding. */
        public Builder dimension(int dimension) {
            return set(SpecKey.DIMENSION, Integer.toString(dimension));
        }

        /** The index family in Faiss' notation, such as {@code IVF1024,PQ48}. */
        public Builder factoryString(String factoryString) {
            return set(SpecKey.FACTORY_STRING, factoryString);
        }

        /** How the family is chosen where none is named: {@code auto} or {@code pq48}. */
        public Builder familyRule(String rule) {
            return set(SpecKey.FAMILY_RULE, rule);
        }

        /** {@code l2}, {@code ip}, {@code cosine}, {@code l1} or {@code linf}. */
        public Builder metric(String metric) {
            return set(SpecKey.METRIC, metric);
        }

        /** The share of the rows to train on, above 0 and at most 1. */
        public Builder sampleRate(double sampleRate) {
            return set(SpecKey.SAMPLE_RATE, Double.toString(sampleRate));
        }

        /** What every random choice is derived from. */
        public Builder seed(long seed) {
            return set(SpecKey.SEED, Long.toString(seed));
        }

        /** Native threads of one task. */
        public Builder threads(int threads) {
            return set(SpecKey.THREADS, Integer.toString(threads));
        }

        /** Memory for the rows of one task in bytes, beside the trained state. */
        public Builder memoryLimit(long bytes) {
            return set(SpecKey.MEMORY_LIMIT, Long.toString(bytes));
        }

        /** {@code fail} or {@code skip}. */
        public Builder badRows(String policy) {
            return set(SpecKey.BAD_ROWS, policy);
        }

        /** {@code fail}, {@code keepFirst} or {@code allow}. */
        public Builder duplicateIds(String policy) {
            return set(SpecKey.DUPLICATE_IDS, policy);
        }

        /** {@code auto} or {@code always}. */
        public Builder idMap(String idMap) {
            return set(SpecKey.ID_MAP, idMap);
        }

        /** The name of the index file, for readers that know another one than {@code faiss.index}. */
        public Builder indexFilename(String name) {
            return set(SpecKey.INDEX_FILENAME, name);
        }

        /** The number of complete indexes that share the rows. */
        public Builder shards(int shards) {
            return set(SpecKey.SHARDS, Integer.toString(shards));
        }

        /** The tasks that merge one index; without this, as many as its size and the file system suggest. */
        public Builder mergeParts(int parts) {
            return set(SpecKey.MERGE_PARTS, Integer.toString(parts));
        }

        /** The client of HDFS: {@code jvm}, {@code native} or {@code auto}. */
        public Builder ioHdfs(String client) {
            return set(SpecKey.IO_HDFS, client);
        }

        /** Whether the finished index is measured and a page about it is written beside it; without this, it is. */
        public Builder report(boolean report) {
            return set(SpecKey.REPORT, Boolean.toString(report));
        }

        /** Whether a finished index in the output directory is replaced. */
        public Builder overwrite(boolean overwrite) {
            return set(SpecKey.OVERWRITE, Boolean.toString(overwrite));
        }

        /** The spec. */
        public IndexSpec build() {
            return new IndexSpec(values);
        }
    }
}
