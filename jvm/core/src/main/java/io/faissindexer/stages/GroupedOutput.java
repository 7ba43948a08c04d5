package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexSpec;
import io.faissindexer.internal.NativeBridge;
import io.faissindexer.storage.FileSystemHook;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;

/**
 * A directory with an index for each group of rows, in directories that are named like the groups, and with
 * {@code ANN_INDEX_METADATA}, which states how many there are. Every group is a {@link StagedBuild} of its own; all
 * have one name. What comes after what: {@link #start}, all builds until they can be published, {@link #publish}, the
 * publication of each, {@link #end}; or {@link StagedBuild#abandon} of the directory above.
 */
public final class GroupedOutput {
    private GroupedOutput() {
    }

    /**
     * Checks all of a spec and of the directory that can be checked without the dimension and the groups.
     *
     * @throws FaissIndexException when nothing could be built
     */
    public static void check(IndexSpec spec, String outputDirectory, FileSystemHook.Factory files) {
        NativeCall.through(files, hook -> {
            NativeBridge.checkGroups(NativeCall.pairs(spec), outputDirectory, hook);
            return null;
        });
    }

    /**
     * Writes down the groups of a build, before any of them is started. A call that is repeated changes nothing.
     *
     * @throws FaissIndexException when nothing could be built, or for a group that cannot name a directory
     */
    public static void start(
            String name,
            IndexSpec spec,
            String outputDirectory,
            Collection<String> groups,
            FileSystemHook.Factory files) {
        NativeCall.through(files, hook -> {
            NativeBridge.startGroups(
                    name, NativeCall.pairs(spec), outputDirectory, groups.toArray(new String[0]), hook);
            return null;
        });
    }

    /** The directory of a group, to start its build in. */
    public static String directory(String outputDirectory, String group) {
        return (outputDirectory.endsWith("/") ? outputDirectory : outputDirectory + "/") + group;
    }

    /**
     * States the number of groups and removes the indexes of groups that are there no more. A call may be repeated.
     */
    public static void publish(
            String name,
            IndexSpec spec,
            String outputDirectory,
            Collection<String> groups,
            FileSystemHook.Factory files) {
        NativeCall.through(files, hook -> {
            NativeBridge.publishGroups(
                    name, NativeCall.pairs(spec), outputDirectory, groups.toArray(new String[0]), hook);
            return null;
        });
    }

    /** Removes what is left of a build when all of its groups are published. A call may be repeated. */
    public static void end(String name, String outputDirectory, FileSystemHook.Factory files) {
        NativeCall.through(files, hook -> {
            NativeBridge.endGroups(name, outputDirectory, hook);
            return null;
        });
    }

    /** The groups whose indexes are published, in the order of their names. */
    public static List<String> published(String outputDirectory, FileSystemHook.Factory files) {
        return Arrays.asList(
                NativeCall.through(files, hook -> NativeBridge.publishedGroups(outputDirectory, hook)));
    }
}
