package io.faissindexer.internal;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Scanner;
import java.util.Set;

/**
 * Loads the native library once per class loader.
 * <ol>
 * <li>The file that the system property {@value #PATH_PROPERTY} names, and nothing else when it is set.
 * <li>The library inside the jar, put into a private directory below the first of these that can be written to and run
 * from: the system property {@value #DIRECTORY_PROPERTY}, the work directories of a YARN container, the temporary
 * directory of Java, {@code ~/.cache}.
 * </ol>
 * A file that is there already with the right bytes is used again. A failure is kept and thrown again, so that every
 * caller learns the reason.
 */
public final class NativeLibrary {
    /** The system property that names the library's file. */
    public static final String PATH_PROPERTY = "io.faissindexer.native.path";
    /** The system property that names a directory for the library. */
    public static final String DIRECTORY_PROPERTY = "io.faissindexer.native.tmpdir";

    /** Read by the library while it is loaded, so that a relocated class is found under its own name. */
    private static final String CLASS_PROPERTY = "io.faissindexer.native.class";
    private static final String FILE_NAME = "libfaiss_indexer.so";

    private static boolean loaded;
    private static FaissIndexException failure;

    private NativeLibrary() {
    }

    /** Loads the library unless that is done. */
    public static synchronized void load() {
        if (loaded) {
            return;
        }
        if (failure == null) {
            try {
                loadOnce();
                loaded = true;
                return;
            } catch (FaissIndexException refused) {
                failure = refused;
            } catch (IOException | LinkageError refused) {
                failure = new FaissIndexException(
                        Kind.INTERNAL, "the native library cannot be loaded: " + refused.getMessage(), refused);
            }
        }
        throw new FaissIndexException(failure.kind(), failure.getMessage(), failure);
    }

    private static void loadOnce() throws IOException {
        Platform.requireProcessor();
        String path = System.getProperty(PATH_PROPERTY);
        if (path != null) {
            systemLoad(Paths.get(path).toAbsolutePath());
        } else {
            loadFromJar();
        }
        requireSameVersion(version(), NativeBridge.buildInfo());
    }

    private static void loadFromJar() throws IOException {
        Resource resource;
        String name = "/io/faissindexer/native/" + Platform.name() + "/" + FILE_NAME;
        try {
            resource = Resource.named(name);
        } catch (FileNotFoundException absent) {
            throw new FaissIndexException(Kind.INTERNAL, "this jar has no native library for " + Platform.name()
                    + ": run on linux-x86_64, or name a library with -D" + PATH_PROPERTY);
        }
        List<String> refusals = new ArrayList<>();
        for (Path candidate : candidates()) {
            try {
                loadFrom(candidate, resource);
                return;
            } catch (IOException refused) {
                refusals.add(candidate + ": " + refused);
            } catch (UnsatisfiedLinkError refused) {
                refusals.add(Platform.explain(candidate.resolve(FILE_NAME), String.valueOf(refused.getMessage())));
            }
        }
        throw new FaissIndexException(
                Kind.INTERNAL, "the native library cannot be loaded: " + String.join("; ", refusals));
    }

    private static void loadFrom(Path candidate, Resource resource) throws IOException {
        PrivateDirectory directory = PrivateDirectory.below(candidate);
        String name = "libfaiss_indexer-" + version() + "-" + resource.sha256().substring(0, 16) + ".so";
        try {
            systemLoad(directory.holding(resource, name));
        } catch (UnsatisfiedLinkError refused) {
            if (!String.valueOf(refused.getMessage()).contains("already loaded in another classloader")) {
                throw refused;
            }
            // Even a hard link would share the statics of the other class loader's library; a copy does not.
            Path copy = directory.copyOf(resource, name);
            try {
                systemLoad(copy);
            } finally {
                Files.delete(copy);
            }
        }
    }

    private static void systemLoad(Path file) {
        System.setProperty(CLASS_PROPERTY, NativeBridge.class.getName());
        System.load(file.toString());
    }

    static Set<Path> candidates() {
        Set<Path> candidates = new LinkedHashSet<>();
        add(candidates, System.getProperty(DIRECTORY_PROPERTY));
        if (System.getenv("CONTAINER_ID") != null) {
            String directories = System.getenv("LOCAL_DIRS");
            if (directories != null) {
                for (String directory : directories.split(",")) {
                    add(candidates, directory);
                }
            }
            add(candidates, System.getenv("PWD"));
        }
        add(candidates, System.getProperty("java.io.tmpdir"));
        String home = System.getProperty("user.home");
        add(candidates, home == null ? null : home + "/.cache");
        return candidates;
    }

    private static void add(Set<Path> candidates, String directory) {
        if (directory != null && !directory.isEmpty()) {
            candidates.add(Paths.get(directory));
        }
    }

    /** The version of this jar. */
    static String version() throws IOException {
        try (InputStream source = Resource.named("/io/faissindexer/version.txt").open();
                Scanner scanner = new Scanner(source, StandardCharsets.UTF_8.name())) {
            return scanner.next();
        }
    }

    static void requireSameVersion(String jarVersion, String buildInfo) {
        String[] words = buildInfo.split(" ");
        if (words.length < 2 || !words[1].equals(jarVersion)) {
            throw new FaissIndexException(Kind.INTERNAL, "the jar is version " + jarVersion
                    + ", but the native library says \"" + buildInfo
                    + "\": use jar and library of the same version");
        }
    }
}
