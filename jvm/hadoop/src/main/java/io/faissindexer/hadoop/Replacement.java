package io.faissindexer.hadoop;

import java.io.FileNotFoundException;
import java.io.IOException;
import org.apache.hadoop.fs.FileContext;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Options;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.UnsupportedFileSystemException;

/** Renames that put a file in the place of another one. */
final class Replacement {
    private Replacement() {
    }

    /**
     * Renames in one step through the file system's own overwriting rename. A file system without one has its target
     * deleted first: a reader may then find nothing for a moment.
     */
    static void rename(FileSystem fileSystem, Path from, Path to) throws IOException {
        FileContext context;
        try {
            context = FileContext.getFileContext(fileSystem.getUri(), fileSystem.getConf());
        } catch (UnsupportedFileSystemException withoutOverwritingRename) {
            renameInTwoSteps(fileSystem, from, to);
            return;
        }
        context.rename(from, to, Options.Rename.OVERWRITE);
    }

    static void renameInTwoSteps(FileSystem fileSystem, Path from, Path to) throws IOException {
        if (!fileSystem.exists(from)) {
            throw new FileNotFoundException(from + " does not exist");
        }
        fileSystem.delete(to, false);
        if (!fileSystem.rename(from, to)) {
            throw new IOException(from + " cannot be renamed to " + to);
        }
    }
}
