package io.faissindexer.mapreduce.input;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.Closeable;
import java.io.IOException;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;

/** Reads the rows of a part of a file. */
abstract class RowFileReader implements Closeable {
    /** Opens the part. */
    abstract void open(FileSplit split, TaskAttemptContext context) throws IOException, InterruptedException;

    /** Goes to the next row; false after the last one. */
    abstract boolean next() throws IOException, InterruptedException;

    /** The row that {@link #next} went to, until it goes on. */
    abstract EmbeddingRow row();

    /** The share of the part that has been read. */
    abstract float progress() throws IOException, InterruptedException;

    /** The input is of a type that no index can be made of. */
    static FaissIndexException unusable(FileSplit split, String message) {
        return new FaissIndexException(Kind.INVALID_SPEC, split.getPath() + ": " + message);
    }

    /** Something in the input makes no sense. */
    static FaissIndexException malformed(FileSplit split, String where, String message) {
        return new FaissIndexException(Kind.CORRUPT_FILE, split.getPath() + ", " + where + ": " + message);
    }
}
