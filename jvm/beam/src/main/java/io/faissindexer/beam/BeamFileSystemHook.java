package io.faissindexer.beam;

import io.faissindexer.storage.FileSystemHook;
import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.channels.SeekableByteChannel;
import java.nio.channels.WritableByteChannel;
import java.nio.file.FileAlreadyExistsException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.EmptyMatchTreatment;
import org.apache.beam.sdk.io.fs.MatchResult;
import org.apache.beam.sdk.io.fs.MatchResult.Metadata;
import org.apache.beam.sdk.io.fs.MoveOptions.StandardMoveOptions;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.util.MimeTypes;

/**
 * Reaches the objects of a store, which knows no directories: there is one where objects have names below it. Objects
 * appear whole when their stream is closed.
 */
final class BeamFileSystemHook implements FileSystemHook {
    private final Map<Long, Reader> readers = new HashMap<>();
    private final Map<Long, Draft> writers = new HashMap<>();
    private long lastStream;

    @Override
    public long[] status(String uri) throws IOException {
        for (Metadata object : match(uri)) {
            return new long[] {object.sizeBytes(), 0};
        }
        return match(uri + "/**").isEmpty() ? null : new long[] {0, 1};
    }

    @Override
    public String[] list(String directory) throws IOException {
        String begin = directory + "/";
        TreeSet<String> children = new TreeSet<>();
        for (Metadata object : match(begin + "**")) {
            String name = object.resourceId().toString();
            int end = name.indexOf('/', begin.length());
            children.add(end < 0 ? name : name.substring(0, end));
        }
        return children.toArray(new String[0]);
    }

    @Override
    public long openForReading(String uri) throws IOException {
        List<Metadata> objects = match(uri);
        if (objects.isEmpty()) {
            throw new FileNotFoundException(uri);
        }
        readers.put(++lastStream, new Reader(objects.get(0)));
        return lastStream;
    }

    @Override
    public void readFully(long stream, long position, byte[] buffer, int length) throws IOException {
        Reader reader = readers.get(stream);
        if (reader == null) {
            throw closed(stream);
        }
        reader.readFully(position, ByteBuffer.wrap(buffer, 0, length));
    }

    @Override
    public long create(String uri, boolean overwrite) throws IOException {
        if (!overwrite && !match(uri).isEmpty()) {
            throw new FileAlreadyExistsException(uri);
        }
        ResourceId object = resource(uri);
        writers.put(++lastStream, new Draft(object, FileSystems.create(object, MimeTypes.BINARY)));
        return lastStream;
    }

    @Override
    public void write(long stream, byte[] buffer, int length) throws IOException {
        Draft draft = writers.get(stream);
        if (draft == null) {
            throw closed(stream);
        }
        ByteBuffer bytes = ByteBuffer.wrap(buffer, 0, length);
        while (bytes.hasRemaining()) {
            draft.channel.write(bytes);
        }
    }

    @Override
    public void closeStream(long stream) throws IOException {
        Draft draft = writers.remove(stream);
        if (draft != null) {
            draft.channel.close();
            return;
        }
        Reader reader = readers.remove(stream);
        if (reader == null) {
            throw closed(stream);
        }
        reader.close();
    }

    @Override
    public void abortStream(long stream) throws IOException {
        Draft draft = writers.get(stream);
        closeStream(stream);
        if (draft != null) {
            delete(Collections.singletonList(draft.object));
        }
    }

    /** There are no directories to make. */
    @Override
    public void makeDirectories(String uri) {
    }

    @Override
    public void rename(String from, String to) throws IOException {
        FileSystems.rename(Collections.singletonList(resource(from)), Collections.singletonList(resource(to)));
    }

    @Override
    public boolean delete(String uri) throws IOException {
        List<Metadata> objects = new ArrayList<>(match(uri));
        objects.addAll(match(uri + "/**"));
        delete(objects.stream().map(Metadata::resourceId).collect(Collectors.toList()));
        return !objects.isEmpty();
    }

    @Override
    public boolean canConcatenate(String directory) {
        return false;
    }

    @Override
    public boolean concatenate(String target, String[] sources) {
        return false;
    }

    @Override
    public void close() throws IOException {
        List<Long> open = new ArrayList<>(readers.keySet());
        open.addAll(writers.keySet());
        abortStreams(open);
    }

    private static void delete(List<ResourceId> objects) throws IOException {
        if (!objects.isEmpty()) {
            FileSystems.delete(objects, StandardMoveOptions.IGNORE_MISSING_FILES);
        }
    }

    private static List<Metadata> match(String pattern) throws IOException {
        MatchResult result = FileSystems.match(pattern, EmptyMatchTreatment.ALLOW);
        return result.metadata();
    }

    private static ResourceId resource(String uri) {
        return FileSystems.matchNewResource(uri, false);
    }

    private static IOException closed(long stream) {
        return new IOException("stream " + stream + " is not open");
    }

    /** An object that is being written. */
    private static final class Draft {
        private final ResourceId object;
        private final WritableByteChannel channel;

        Draft(ResourceId object, WritableByteChannel channel) {
            this.object = object;
            this.channel = channel;
        }
    }

    /** An object that is being read; from its beginning again where its store knows no other way back. */
    private static final class Reader {
        private final ResourceId object;
        private final long length;
        private ReadableByteChannel channel;
        private long position;

        Reader(Metadata found) throws IOException {
            object = found.resourceId();
            length = found.sizeBytes();
            channel = FileSystems.open(object);
        }

        void readFully(long from, ByteBuffer bytes) throws IOException {
            // Some channels take a position that is not inside for a mistake of the caller's.
            if (from + bytes.remaining() > length) {
                throw tooShort();
            }
            if (!bytes.hasRemaining()) {
                return;
            }
            if (channel instanceof SeekableByteChannel) {
                ((SeekableByteChannel) channel).position(from);
            } else {
                skipTo(from);
            }
            position = from + bytes.remaining();
            fill(bytes);
        }

        private void skipTo(long from) throws IOException {
            if (from < position) {
                close();
                channel = FileSystems.open(object);
                position = 0;
            }
            ByteBuffer passed = ByteBuffer.allocate(1 << 16);
            while (position < from) {
                passed.clear();
                passed.limit((int) Math.min(passed.capacity(), from - position));
                position += passed.remaining();
                fill(passed);
            }
        }

        private void fill(ByteBuffer bytes) throws IOException {
            while (bytes.hasRemaining()) {
                if (channel.read(bytes) < 0) {
                    throw tooShort();
                }
            }
        }

        private EOFException tooShort() {
            return new EOFException(object + " is shorter than expected");
        }

        void close() throws IOException {
            channel.close();
        }
    }
}
