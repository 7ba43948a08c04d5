package io.faissindexer.beam;

import io.faissindexer.storage.FileSystemHook;
import java.util.Locale;
import java.util.Set;

/**
 * Reaches the files of a build through Beam's file systems, with the credentials of the pipeline, but for those that
 * the native library reaches itself.
 */
final class BeamFiles implements FileSystemHook.Factory {
    private static final long serialVersionUID = 1L;
    private static final Set<String> NATIVE_SCHEMES = Set.of("file", "hdfs");

    private final boolean isNative;

    /** The files of a build into a directory. */
    BeamFiles(String outputDirectory) {
        int colon = outputDirectory.indexOf("://");
        isNative = colon < 0 || NATIVE_SCHEMES.contains(outputDirectory.substring(0, colon).toLowerCase(Locale.ROOT));
    }

    @Override
    public FileSystemHook open() {
        return isNative ? null : new BeamFileSystemHook();
    }
}
