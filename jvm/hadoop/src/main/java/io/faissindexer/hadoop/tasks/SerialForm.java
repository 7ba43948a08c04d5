package io.faissindexer.hadoop.tasks;

import java.io.IOException;
import java.io.InputStream;
import java.io.ObjectInputStream;

/** Reads what Java serialised. */
final class SerialForm {
    private SerialForm() {
    }

    /** Reads one object and closes the stream. */
    static Object read(InputStream bytes) throws IOException {
        try (InputStream open = bytes; ObjectInputStream stream = new ObjectInputStream(open)) {
            return stream.readObject();
        } catch (ClassNotFoundException otherVersion) {
            throw new IOException("driver and tasks do not have the same classes: " + otherVersion, otherVersion);
        }
    }
}
