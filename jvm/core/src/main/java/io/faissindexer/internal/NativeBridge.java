package io.faissindexer.internal;

import io.faissindexer.FaissIndexException;
import java.nio.ByteBuffer;

/**
 * Every native method. {@link NativeLibrary#load()} comes before the first call. A spec, a decision and the receipt of
 * a build are alternating keys and values; a build and the receipts of its stages are texts that only the native
 * library reads.
 * A {@code files} argument is a {@link io.faissindexer.storage.FileSystemHook} or {@code null}. Every method throws
 * {@link FaissIndexException} and nothing else, but for what a hook throws.
 */
public final class NativeBridge {
    /** Reasons for {@link #reject}. */
    public static final int NULL_ID = 1;
    /** The row has no embedding. */
    public static final int NULL_EMBEDDING = 2;
    /** The row's embedding has another dimension than the index. */
    public static final int WRONG_DIMENSION = 3;
    /** A component of the row's embedding is null. */
    public static final int NULL_COMPONENT = 4;

    private NativeBridge() {
    }

    /** Name and version of the library, then in brackets those of Faiss. */
    public static native String buildInfo();

    /** Checks all of the spec and the output directory that can be checked without the dimension; writes nothing. */
    public static native void checkBuild(String[] spec, String output, Object files);

    /**
     * Checks the spec and the output directory and makes room for the files of a build, whose name is of letters and
     * digits. Returns the build.
     */
    public static native String startBuild(String name, String[] spec, String output, Object files);

    /**
     * Decides what to train on. Returns {@code build}, with that decision, whether to {@code resample}, {@code notes}
     * by line, the number of {@code mergeTasks}, that of {@code assembleTasks}, 0 unless these make parts, and whether
     * the build {@code evaluates} what they make.
     */
    public static native String[] planTraining(String build, String[] receipts);

    /** Bytes that a task of a stage takes at most outside the heap, with the threads that the engine gives it. */
    public static native long taskMemory(String stage, String build, String[] receipts, int threads);

    /** Opens a stage of one partition and returns its handle. */
    public static native long openStage(
            String stage, String build, String[] receipts, int partition, int threads, Object files);

    /** Gives the stage rows from two direct buffers in native order; both are copied before this returns. */
    public static native void append(long stage, ByteBuffer ids, ByteBuffer vectors, int rows);

    /** Tells the stage of a row that cannot be in a batch. */
    public static native void reject(long stage, int reason, long id, int dimension);

    /** Does the rest of the stage's work and returns its receipt. */
    public static native String finish(long stage);

    /** The kinds of bad rows that a stage met, in words that go on from "rows", and their numbers, by its receipt. */
    public static native String[] badRows(String receipt);

    /** Rows done and bytes written. From any thread. */
    public static native long[] progress(long stage);

    /** Makes the call that is running, or the next one, fail with kind CANCELLED. From any thread. */
    public static native void cancel(long stage);

    /** Frees the stage. A stale handle is harmless here. */
    public static native void close(long stage);

    /** Puts the index, its manifest and the mark of success in place. Returns what the build's receipt states. */
    public static native String[] publish(String build, String[] receipts, Object files);

    /** What {@link #publish} has returned for the index in a directory. */
    public static native String[] published(String output, Object files);

    /** Checks all of the spec and of a directory above groups that can be checked before any group is known. */
    public static native void checkGroups(String[] spec, String output, Object files);

    /** Writes down the groups of a build, each of which is then started in the directory of its name. */
    public static native void startGroups(String name, String[] spec, String output, String[] groups, Object files);

    /** States the number of groups, of which none is published yet, and removes those that are there no more. */
    public static native void publishGroups(String name, String[] spec, String output, String[] groups, Object files);

    /** Removes what is left of a build by group, all of whose indexes are published. */
    public static native void endGroups(String name, String output, Object files);

    /** The groups whose indexes are published in a directory. */
    public static native String[] publishedGroups(String output, Object files);

    /** Deletes what a failed build has left. Returns false when another build had done so before. */
    public static native boolean abandon(String name, String output, Object files);

    /** The log records since the last call, as level, target and message in turn. */
    public static native String[] takeLogs();

    /** Fails in the way that is asked for: {@code error}, {@code panic} or {@code faiss}. */
    public static native void raise(String fault);

    /** Called by native code only: what it throws. */
    static RuntimeException exception(int kind, String message) {
        return new FaissIndexException(FaissIndexException.Kind.ofNumber(kind), message);
    }
}
