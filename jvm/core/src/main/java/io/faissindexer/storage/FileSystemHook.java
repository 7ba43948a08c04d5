package io.faissindexer.storage;

import java.io.Closeable;
import java.io.IOException;
import java.io.Serializable;
import java.util.Collection;

/**
 * How the native library reaches a file system that only the JVM knows. It calls these methods on the thread that is
 * inside a native method, and never two at a time.
 */
public interface FileSystemHook extends Closeable {

    /** Makes a hook where it is needed; travels to the workers of an engine. */
    interface Factory extends Serializable {
        /** A new hook, which the caller closes; {@code null} where the native library's own backends are enough. */
        FileSystemHook open();
    }

    /** Length in bytes and 1 for a directory or 0 for a file; {@code null} when there is nothing under the name. */
    long[] status(String uri) throws IOException;

    /** The full URIs of what lies directly in a directory; empty when the directory is missing. */
    String[] list(String directory) throws IOException;

    /** Opens a file and returns a number for its stream. */
    long openForReading(String uri) throws IOException;

    /** Fills the buffer's first {@code length} bytes from a position of the file; a shorter file is an EOFException. */
    void readFully(long stream, long position, byte[] buffer, int length) throws IOException;

    /**
     * Creates a file and the directories above it, and returns a number for its stream. An existing file is replaced
     * or, without {@code overwrite}, a FileAlreadyExistsException.
     */
    long create(String uri, boolean overwrite) throws IOException;

    /** Appends the buffer's first {@code length} bytes. */
    void write(long stream, byte[] buffer, int length) throws IOException;

    /** Ends a stream; the file of a written one is complete and durable when this returns. */
    void closeStream(long stream) throws IOException;

    /** Ends a stream; the file of a written one is deleted. */
    void abortStream(long stream) throws IOException;

    /** Creates a directory and those above it. */
    void makeDirectories(String uri) throws IOException;

    /** Renames a file, replacing an existing one in one step where the file system can. */
    void rename(String from, String to) throws IOException;

    /** Deletes a file, or a directory with everything in it; {@code false} when it was not there. */
    boolean delete(String uri) throws IOException;

    /** Whether {@link #concatenate} can be expected to work for files in an existing directory. */
    boolean canConcatenate(String directory) throws IOException;

    /**
     * Appends finished files, in order, to a finished file of their directory without copying their bytes, in one step
     * after which they are gone. None is empty.
     *
     * @return {@code false} where the file system cannot do that; every file is as it was then
     * @throws java.io.FileNotFoundException when a file is missing
     */
    boolean concatenate(String target, String[] sources) throws IOException;

    /**
     * What a client without a JVM has to know to reach an {@code hdfs:} directory as this hook does: keys of Hadoop's
     * configuration and their values in turn. Asked for, as the two below, where such a client is to be used.
     */
    default String[] hdfsSettings(String directory) throws IOException {
        return new String[0];
    }

    /** Whom such a client has to call itself; {@code null} where that is proved by a ticket or a token. */
    default String hdfsUser(String directory) throws IOException {
        return null;
    }

    /** Why such a client could not read and write files in the directory; {@code null} where nothing is known of it. */
    default String hdfsObstacle(String directory) throws IOException {
        return null;
    }

    /** Aborts each of some streams, whatever becomes of the others; the first failure has the rest with it. */
    default void abortStreams(Collection<Long> streams) throws IOException {
        IOException failure = null;
        for (long stream : streams) {
            try {
                abortStream(stream);
            } catch (IOException next) {
                if (failure == null) {
                    failure = next;
                } else {
                    failure.addSuppressed(next);
                }
            }
        }
        if (failure != null) {
            throw failure;
        }
    }

    /** Aborts every stream that is still open. */
    @Override
    void close() throws IOException;
}
