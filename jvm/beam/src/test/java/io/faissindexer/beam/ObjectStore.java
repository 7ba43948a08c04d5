package io.faissindexer.beam;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.apache.beam.sdk.io.FileSystem;
import org.apache.beam.sdk.io.FileSystemRegistrar;
import org.apache.beam.sdk.io.fs.CreateOptions;
import org.apache.beam.sdk.io.fs.MatchResult;
import org.apache.beam.sdk.io.fs.MoveOptions;
import org.apache.beam.sdk.io.fs.ResolveOptions;
import org.apache.beam.sdk.io.fs.ResolveOptions.StandardResolveOptions;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.options.PipelineOptions;

/**
 * A store of objects {@code store://...} in the memory of this process, which has neither directories nor a way back in
 * a stream, and which fails once for each kind of file that it is told of.
 */
final class ObjectStore extends FileSystem<ObjectStore.Name> {
    private static final String SCHEME = "store";
    private static final Map<String, byte[]> OBJECTS = new ConcurrentSkipListMap<>();
    private static final Set<String> FAILING = ConcurrentHashMap.newKeySet();
    private static final Set<String> FAILING_TO_READ = ConcurrentHashMap.newKeySet();

    /** The names of all objects below a URI, without what they have in common. */
    static Set<String> names(String uri) {
        return OBJECTS.keySet().stream()
                .filter(name -> name.startsWith(uri + "/"))
                .map(name -> name.substring(uri.length() + 1))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    static byte[] bytes(String uri) {
        return OBJECTS.get(uri);
    }

    /** Forgets all objects. */
    static void clear() {
        OBJECTS.clear();
    }

    /** The next object whose last name has this in it is not written. */
    static void failOnce(Collection<String> parts) {
        FAILING.addAll(parts);
    }

    /** What has not failed so far. */
    static Set<String> failing() {
        return new TreeSet<>(FAILING);
    }

    /** The next object whose last name has this in it is not read. */
    static void failReadingOnce(String part) {
        FAILING_TO_READ.add(part);
    }

    /** What has not failed to be read so far. */
    static Set<String> failingToRead() {
        return new TreeSet<>(FAILING_TO_READ);
    }

    private static void failIfTold(Name name) throws IOException {
        failIfTold(FAILING, name, "take");
    }

    private static void failIfTold(Set<String> failing, Name name, String what) throws IOException {
        String last = name.getFilename();
        for (String part : failing) {
            if (last != null && last.contains(part) && failing.remove(part)) {
                throw new IOException("the store does not " + what + " " + name + " at the first attempt");
            }
        }
    }

    @Override
    protected List<MatchResult> match(List<String> specs) {
        List<MatchResult> results = new ArrayList<>();
        for (String spec : specs) {
            Pattern pattern = Pattern.compile(Pattern.quote(spec).replace("**", "\\E.+\\Q"));
            List<MatchResult.Metadata> found = OBJECTS.entrySet().stream()
                    .filter(object -> pattern.matcher(object.getKey()).matches())
                    .map(object -> MatchResult.Metadata.builder()
                            .setResourceId(new Name(object.getKey()))
                            .setSizeBytes(object.getValue().length)
                            .setIsReadSeekEfficient(false)
                            .build())
                    .collect(Collectors.toList());
            results.add(found.isEmpty()
                    ? MatchResult.create(MatchResult.Status.NOT_FOUND, new FileNotFoundException(spec))
                    : MatchResult.create(MatchResult.Status.OK, found));
        }
        return results;
    }

    @Override
    protected WritableByteChannel create(Name name, CreateOptions options) throws IOException {
        failIfTold(name);
        return Channels.newChannel(new ByteArrayOutputStream() {
            @Override
            public void close() {
                OBJECTS.put(name.toString(), toByteArray());
            }
        });
    }

    @Override
    protected ReadableByteChannel open(Name name) throws IOException {
        failIfTold(FAILING_TO_READ, name, "give");
        byte[] bytes = OBJECTS.get(name.toString());
        if (bytes == null) {
            throw new FileNotFoundException(name.toString());
        }
        return Channels.newChannel(new ByteArrayInputStream(bytes));
    }

    @Override
    protected void copy(List<Name> sources, List<Name> targets) {
        for (int at = 0; at < sources.size(); at++) {
            OBJECTS.put(targets.get(at).toString(), OBJECTS.get(sources.get(at).toString()));
        }
    }

    @Override
    protected void rename(List<Name> sources, List<Name> targets, MoveOptions... options) throws IOException {
        for (Name target : targets) {
            failIfTold(target);
        }
        copy(sources, targets);
        delete(sources);
    }

    @Override
    protected void delete(Collection<Name> names) {
        names.forEach(name -> OBJECTS.remove(name.toString()));
    }

    @Override
    protected Name matchNewResource(String uri, boolean isDirectory) {
        return new Name(uri);
    }

    @Override
    protected String getScheme() {
        return SCHEME;
    }

    /** What finds the store. */
    public static final class Registrar implements FileSystemRegistrar {
        @Override
        public Iterable<FileSystem<?>> fromOptions(PipelineOptions options) {
            return Collections.singletonList(new ObjectStore());
        }
    }

    /** The URI of an object. */
    static final class Name implements ResourceId {
        private static final long serialVersionUID = 1L;

        private final String uri;

        Name(String uri) {
            this.uri = uri;
        }

        @Override
        public ResourceId resolve(String other, ResolveOptions options) {
            String end = options == StandardResolveOptions.RESOLVE_DIRECTORY ? "/" : "";
            return new Name((uri.endsWith("/") ? uri : uri + "/") + other + end);
        }

        @Override
        public ResourceId getCurrentDirectory() {
            return new Name(uri.substring(0, uri.lastIndexOf('/') + 1));
        }

        @Override
        public String getScheme() {
            return SCHEME;
        }

        @Override
        public String getFilename() {
            return isDirectory() ? null : uri.substring(uri.lastIndexOf('/') + 1);
        }

        @Override
        public boolean isDirectory() {
            return uri.endsWith("/");
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Name && uri.equals(((Name) other).uri);
        }

        @Override
        public int hashCode() {
            return uri.hashCode();
        }

        @Override
        public String toString() {
            return uri;
        }
    }
}
