package io.faissindexer;

/** The build that the tests of every engine do. Whatever engine and machine runs it, the bytes are the same. */
public final class ReferenceBuild {
    /** All rows. */
    public static final Embeddings ROWS = new Embeddings(4000, 16);
    /** A family whose training, encoding and merge all have something to do. */
    public static final String FACTORY_STRING = "OPQ8,IVF16,PQ8np";
    /** What {@link IndexReceipt#crc32c()} says of the index. */
    public static final String CRC32C = "c247a61a";

    private ReferenceBuild() {
    }

    /** What is built; a report makes no difference to the index, and takes time. */
    public static IndexSpec spec() {
        return IndexSpec.builder().factoryString(FACTORY_STRING).report(false).build();
    }
}
