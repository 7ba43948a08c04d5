package io.faissindexer.beam;

/** What a service itself has said; what wraps it tells of classes. */
final class RootCause {
    private RootCause() {
    }

    static String message(Throwable failure) {
        Throwable last = failure;
        while (last.getCause() != null) {
            last = last.getCause();
        }
        return last.getMessage() == null ? last.toString() : last.getMessage();
    }
}
