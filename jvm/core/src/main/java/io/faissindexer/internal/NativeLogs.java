package io.faissindexer.internal;

/** Brings the log records of native code to the log of the host, on the thread that calls. */
public final class NativeLogs {
    private NativeLogs() {
    }

    /** Writes every record that native code has left since the last call. */
    public static void deliver() {
        String[] records = NativeBridge.takeLogs();
        for (int at = 0; at + 2 < records.length; at += 3) {
            // A native target reads crate::module, which loggers of the JVM spell with dots.
            Log log = Log.named(records[at + 1].replace("::", "."));
            log.write(Log.Severity.ofName(records[at]), records[at + 2]);
        }
    }
}
