package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
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

    /** What Beam's object stores take for a pattern, wherever a name is asked for. */
    private static final String PATTERN = ".*[*?\\[\\\\].*";

    private final boolean isNative;

    /**
     * The files of a build into a directory.
     *
     * @throws FaissIndexException of kind INVALID_SPEC for a name that would also stand for those of others
     */
    BeamFiles(String outputDirectory) {
        int colon = outputDirectory.indexOf("://");
        isNative = colon < 0 || NATIVE_SCHEMES.contains(outputDirectory.substring(0, colon).toLowerCase(Locale.ROOT));
        if (!isNative && outputDirectory.matches(PATTERN)) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "output " + outputDirectory
                    + ": *, ?, [ and \\ make a pattern of it, which may stand for other objects too");
        }
    }

    @Override
    public FileSystemHook open() {
        return isNative ? null : new BeamFileSystemHook();
    }
}
