package io.faissindexer.hadoop;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonPathCapabilities;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.ipc.RemoteException;

/** Joins files by the file system's own {@code concat}, which only HDFS has. */
final class Concatenation {
    /**
     * What a NameNode throws at files that it will not join: in an encryption zone, in a snapshot, of different
     * erasure coding. Anything else, such as safe mode, is a failure.
     */
    private static final Set<String> REFUSALS = new HashSet<>(Arrays.asList(
            "org.apache.hadoop.HadoopIllegalArgumentException",
            "org.apache.hadoop.hdfs.protocol.SnapshotException",
            "java.lang.IllegalArgumentException",
            "java.lang.UnsupportedOperationException"));

    private Concatenation() {
    }

    /** Whether files in an existing directory can be joined, as far as can be told before. */
    static boolean isExpected(Path directory, Configuration configuration) throws IOException {
        Path resolved = resolve(directory, configuration);
        FileSystem fileSystem = resolved.getFileSystem(configuration);
        FileStatus status = fileSystem.getFileStatus(resolved);
        return !status.isEncrypted() && canConcatenate(fileSystem, resolved);
    }

    private static boolean canConcatenate(FileSystem fileSystem, Path path) throws IOException {
        try {
            return fileSystem.hasPathCapability(path, CommonPathCapabilities.FS_CONCAT);
        } catch (LinkageError olderHadoop) {
            // Before 3.3.0 it cannot be asked.
            return false;
        }
    }

    /** Appends the sources to the target; {@code false}, with all files as they were, when that is refused. */
    static boolean append(Path target, List<Path> sources, Configuration configuration) throws IOException {
        Path resolved = resolve(target, configuration);
        List<Path> resolvedSources = new ArrayList<>();
        for (Path source : sources) {
            resolvedSources.add(resolve(source, configuration));
        }
        try {
            resolved.getFileSystem(configuration).concat(resolved, resolvedSources.toArray(new Path[0]));
            return true;
        } catch (UnsupportedOperationException | IllegalArgumentException without) {
            return false;
        } catch (RemoteException answer) {
            if (!REFUSALS.contains(answer.getClassName())) {
                throw answer.unwrapRemoteException();
            }
            return false;
        }
    }

    /** The path behind mount points, which do not pass {@code concat} on. */
    private static Path resolve(Path path, Configuration configuration) throws IOException {
        return path.getFileSystem(configuration).resolvePath(path);
    }
}
