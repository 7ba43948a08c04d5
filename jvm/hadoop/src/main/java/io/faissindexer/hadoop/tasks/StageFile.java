package io.faissindexer.hadoop.tasks;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.ObjectOutputStream;
import java.io.Serializable;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;

/** A stage on its way to the tasks: in a file, because a job's configuration has no room for thousands of receipts. */
public final class StageFile {
    /** A stage brings Hadoop's configuration along, with whatever secrets that holds. */
    private static final FsPermission OWNER_ONLY = FsPermission.createImmutable((short) 0600);

    private StageFile() {
    }

    /** Writes a stage to a file that is not there yet, and that nobody but the user may read. */
    public static void write(Serializable stage, Path file, Configuration configuration) throws IOException {
        FSDataOutputStream created = file.getFileSystem(configuration).createFile(file)
                .permission(OWNER_ONLY)
                .recursive()
                .overwrite(false)
                .build();
        try (ObjectOutputStream stream = new ObjectOutputStream(new BufferedOutputStream(created))) {
            stream.writeObject(stage);
        }
    }

    /**
     * The stage in a file.
     *
     * @throws IOException also when it was written with other versions of the classes
     */
    public static Object read(Path file, Configuration configuration) throws IOException {
        return SerialForm.read(new BufferedInputStream(file.getFileSystem(configuration).open(file)));
    }
}
