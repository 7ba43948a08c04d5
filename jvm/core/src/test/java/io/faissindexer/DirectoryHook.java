package io.faissindexer;

import io.faissindexer.storage.FileSystemHook;
import java.io.EOFException;
import java.io.IOException;
import java.io.OutputStream;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.OpenOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/** A file system of URIs {@code hooked:/...} that keeps its files below a local directory. */
public final class DirectoryHook implements FileSystemHook {
    private static final String SCHEME = "hooked:/";

    private final Path root;
    private final Map<Long, RandomAccessFile> readers = new HashMap<>();
    private final Map<Long, OutputStream> writers = new HashMap<>();
    private final Map<Long, Path> written = new HashMap<>();
    private long lastStream;

    public DirectoryHook(Path root) {
        this.root = root;
    }

    /** Streams that nobody has ended. */
    public int openStreams() {
        return readers.size() + writers.size();
    }

    @Override
    public long[] status(String uri) throws IOException {
        Path path = path(uri);
        return Files.exists(path) ? new long[] {Files.size(path), Files.isDirectory(path) ? 1 : 0} : null;
    }

    @Override
    public String[] list(String directory) throws IOException {
        if (!Files.isDirectory(path(directory))) {
            return new String[0];
        }
        try (Stream<Path> children = Files.list(path(directory))) {
            return children.map(child -> SCHEME + root.relativize(child)).toArray(String[]::new);
        }
    }

    @Override
    public long openForReading(String uri) throws IOException {
        readers.put(++lastStream, new RandomAccessFile(path(uri).toFile(), "r"));
        return lastStream;
    }

    @Override
    public void readFully(long stream, long position, byte[] buffer, int length) throws IOException {
        RandomAccessFile reader = readers.get(stream);
        if (position + length > reader.length()) {
            throw new EOFException("position " + position + " of " + reader.length());
        }
        reader.seek(position);
        reader.readFully(buffer, 0, length);
    }

    @Override
    public long create(String uri, boolean overwrite) throws IOException {
        Path path = path(uri);
        Files.createDirectories(path.getParent());
        OpenOption mode = overwrite ? StandardOpenOption.CREATE : StandardOpenOption.CREATE_NEW;
        writers.put(++lastStream, Files.newOutputStream(path, mode, StandardOpenOption.WRITE));
        written.put(lastStream, path);
        return lastStream;
    }

    @Override
    public void write(long stream, byte[] buffer, int length) throws IOException {
        writers.get(stream).write(buffer, 0, length);
    }

    @Override
    public void closeStream(long stream) throws IOException {
        OutputStream writer = writers.remove(stream);
        if (writer != null) {
            writer.close();
        } else {
            readers.remove(stream).close();
        }
    }

    @Override
    public void abortStream(long stream) throws IOException {
        boolean isWriter = writers.containsKey(stream);
        closeStream(stream);
        if (isWriter) {
            Files.delete(written.get(stream));
        }
    }

    @Override
    public void makeDirectories(String uri) throws IOException {
        Files.createDirectories(path(uri));
    }

    @Override
    public void rename(String from, String to) throws IOException {
        Files.move(path(from), path(to), StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    @Override
    public boolean delete(String uri) throws IOException {
        List<Path> everything = new ArrayList<>();
        try (Stream<Path> below = Files.walk(path(uri))) {
            everything.addAll(below.sorted(Comparator.reverseOrder()).collect(Collectors.toList()));
        } catch (NoSuchFileException missing) {
            return false;
        }
        for (Path each : everything) {
            Files.delete(each);
        }
        return true;
    }

    @Override
    public boolean canConcatenate(String directory) {
        return true;
    }

    @Override
    public boolean concatenate(String target, String[] sources) throws IOException {
        try (OutputStream joined = Files.newOutputStream(path(target), StandardOpenOption.APPEND)) {
            for (String source : sources) {
                Files.copy(path(source), joined);
            }
        }
        for (String source : sources) {
            Files.delete(path(source));
        }
        return true;
    }

    @Override
    public void close() throws IOException {
        List<Long> open = new ArrayList<>(readers.keySet());
        open.addAll(writers.keySet());
        for (long stream : open) {
            abortStream(stream);
        }
    }

    private Path path(String uri) throws IOException {
        if (!uri.startsWith(SCHEME)) {
            throw new IOException("not of this file system: " + uri);
        }
        return root.resolve(uri.substring(SCHEME.length()).replaceAll("^/+", ""));
    }
}
