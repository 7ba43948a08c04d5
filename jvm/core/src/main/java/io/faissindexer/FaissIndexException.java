package io.faissindexer;

/**
 * The one exception of this library. Its message says what went wrong, where, and what to do; its {@link #kind()} is
 * what a program may decide on.
 */
public final class FaissIndexException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    /** What went wrong; the numbers are those of the native library. */
    public enum Kind {
        /** The spec, a flag or a column cannot be used as given. */
        INVALID_SPEC(1),
        /** Rows cannot be indexed and the policy for bad rows is to fail, or the input changed during the build. */
        BAD_ROWS(2),
        /** There are fewer rows than the index family needs for training. */
        TOO_FEW_ROWS(3),
        /** Parts of different builds were about to be put together. */
        FINGERPRINT_MISMATCH(4),
        /** The output holds a finished index and overwriting was not asked for. */
        ALREADY_EXISTS(5),
        /** A file is missing. */
        NOT_FOUND(6),
        /** A file or directory may not be read or written. */
        PERMISSION_DENIED(7),
        /** Reading or writing failed; trying again may help. */
        STORAGE(8),
        /** Faiss refused. */
        FAISS(9),
        /** A stage was used after it had been finished, had failed or had been closed. */
        CLOSED(10),
        /** A defect of this library, or a machine on which it cannot run. */
        INTERNAL(11),
        /** The work was cancelled. */
        CANCELLED(12),
        /** A stage was used by two threads at once. */
        BUSY(13),
        /** The memory limit is too low for the work, or the machine has no memory left. */
        OUT_OF_MEMORY(14),
        /** Several rows have the same id and the policy for duplicate ids is to fail. */
        DUPLICATE_IDS(15),
        /** A file does not hold what it should. */
        CORRUPT_FILE(16);

        private final int number;

        Kind(int number) {
            this.number = number;
        }

        /** The number by which the native library knows this kind. */
        public int number() {
            return number;
        }

        /** The kind with a number; {@link #INTERNAL} for a number that no kind has. */
        public static Kind ofNumber(int number) {
            for (Kind kind : values()) {
                if (kind.number == number) {
                    return kind;
                }
            }
            return INTERNAL;
        }
    }

    private final Kind kind;

    /** A failure without a Java cause. */
    public FaissIndexException(Kind kind, String message) {
        super(message);
        this.kind = kind;
    }

    /** A failure with the exception that led to it. */
    public FaissIndexException(Kind kind, String message, Throwable cause) {
        super(message, cause);
        this.kind = kind;
    }

    /** What went wrong. */
    public Kind kind() {
        return kind;
    }

    /** Whether the same work may succeed when it is done again on the same input. */
    public boolean isRetryable() {
        return kind == Kind.STORAGE;
    }

    /** The exit code of a program that ends with this failure: 2 when nothing was attempted, else 1. */
    public int exitCode() {
        return kind == Kind.INVALID_SPEC || kind == Kind.ALREADY_EXISTS ? 2 : 1;
    }
}
