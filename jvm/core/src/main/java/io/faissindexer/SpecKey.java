package io.faissindexer;

/**
 * The keys of an {@link IndexSpec}. What a value may be, and what holds without one, the native library decides; the
 * defaults here are for people to read.
 */
public enum SpecKey {
    /** Components of every embedding. */
    DIMENSION("dimension", "N", "components of an embedding; default: those of the first row", null),
    /** The index family in Faiss' own notation. */
    FACTORY_STRING("factoryString", "NAME", "index family, such as IVF1024,PQ48; default: chosen from the rows", null),
    /** How the index family is chosen where none is named. */
    FAMILY_RULE(
            "familyRule",
            "auto|pq48",
            "how the family is chosen; auto: by rows and dimension; pq48: OPQ48,IVF{rows/20},PQ48 where that works",
            "auto"),
    /** How near two embeddings are. */
    METRIC("metric", "NAME", "l2, ip, cosine, l1 or linf", "l2"),
    /** The share of the rows that is trained on. */
    SAMPLE_RATE("sampleRate", "SHARE", "share of the rows to train on, fitted to the family", "0.05"),
    /** What every pseudo-random choice is derived from. */
    SEED("seed", "N", "seed of every random choice", "1234"),
    /** Native threads of one task. */
    THREADS("threads", "N", "threads of one task; default: the CPUs that the engine gives a task", null),
    /** Memory for the rows of one task, beside the trained state. */
    MEMORY_LIMIT("memoryLimit", "SIZE", "what a task's rows may take of memory, such as 1GiB", "256MiB"),
    /** Whether ids are kept in a map around the index. */
    ID_MAP(
            "idMap",
            "auto|always",
            "where ids are kept; auto: in lists where there are any, else in a map; always: in a map",
            "auto"),
    /** The name of the index file. */
    INDEX_FILENAME("indexFilename", "NAME", "name of the index file", "faiss.index"),
    /** What happens to rows that cannot be indexed. */
    BAD_ROWS("badRows", "fail|skip", "what rows that cannot be indexed lead to", "fail"),
    /** What happens to rows with the id of another row. */
    DUPLICATE_IDS("duplicateIds", "fail|keepFirst|allow", "what equal ids lead to", "fail"),
    /** The number of complete indexes that share the rows. */
    SHARDS("shards", "N", "number of complete indexes that share the rows, in shard_0, shard_1 and so on", "1"),
    /** The tasks that merge one index. */
    MERGE_PARTS(
            "mergeParts",
            "auto|N",
            "tasks that merge one index; auto: one for each GiB of it where the output's file system joins files",
            "auto"),
    /** The client of HDFS. */
    IO_HDFS(
            "io.hdfs",
            "jvm|native|auto",
            "client of HDFS; jvm: Hadoop's own; native: the library's; auto: native where it reaches the output",
            "jvm"),
    /** Whether a finished index in the output directory is replaced. */
    OVERWRITE("overwrite", null, "replace a finished index in the output directory", "false"),
    /** Whether a report is written beside the index. */
    REPORT("report", null, "write report.html, with the index's recall, beside the index; false does not", "true");

    private final String key;
    private final String placeholder;
    private final String description;
    private final String defaultValue;

    SpecKey(String key, String placeholder, String description, String defaultValue) {
        this.key = key;
        this.placeholder = placeholder;
        this.description = description;
        this.defaultValue = defaultValue;
    }

    /** The key in an {@link IndexSpec} and in an engine's options. */
    public String key() {
        return key;
    }

    /** The key as a command-line flag, without the dashes before it. */
    public String flag() {
        return key.replaceAll("([A-Z])", "-$1").replace('.', '-').toLowerCase(java.util.Locale.ROOT);
    }

    /** Whether the flag stands alone, meaning {@code true}. */
    public boolean isSwitch() {
        return placeholder == null;
    }

    String placeholder() {
        return placeholder;
    }

    String description() {
        return description + (defaultValue == null ? "" : "; default: " + defaultValue);
    }

    /** What holds without a value; null where no one value does. */
    String defaultValue() {
        return defaultValue;
    }
}
