package io.faissindexer.hadoop;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.storage.FileSystemHook;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.StreamCapabilities;

/**
 * Reaches files through the Hadoop file system of their URI, with the rights of the current Hadoop user. File systems
 * come from Hadoop's own cache and belong to it.
 */
public final class HadoopFileSystemHook implements FileSystemHook {
    private final Configuration configuration;
    private final Map<Long, FSDataInputStream> readers = new HashMap<>();
    private final Map<Long, Draft> writers = new HashMap<>();
    private long lastStream;

    /** A hook that finds file systems by a configuration. */
    public HadoopFileSystemHook(Configuration configuration) {
        this.configuration = configuration;
    }

    @Override
    public long[] status(String uri) throws IOException {
        Path path = path(uri);
        try {
            FileStatus status = fileSystem(path).getFileStatus(path);
            return new long[] {status.getLen(), status.isDirectory() ? 1 : 0};
        } catch (FileNotFoundException missing) {
            return null;
        }
    }

    @Override
    public String[] list(String directory) throws IOException {
        Path path = path(directory);
        try {
            List<String> children = new ArrayList<>();
            for (FileStatus child : fileSystem(path).listStatus(path)) {
                children.add(child.getPath().toString());
            }
            return children.toArray(new String[0]);
        } catch (FileNotFoundException missing) {
            return new String[0];
        }
    }

    @Override
    public long openForReading(String uri) throws IOException {
        Path path = path(uri);
        readers.put(++lastStream, fileSystem(path).open(path));
        return lastStream;
    }

    @Override
    public void readFully(long stream, long position, byte[] buffer, int length) throws IOException {
        FSDataInputStream reader = readers.get(stream);
        if (reader == null) {
            throw closed(stream);
        }
        reader.readFully(position, buffer, 0, length);
    }

    @Override
    public long create(String uri, boolean overwrite) throws IOException {
        Path path = path(uri);
        writers.put(++lastStream, new Draft(fileSystem(path), path, overwrite));
        return lastStream;
    }

    @Override
    public void write(long stream, byte[] buffer, int length) throws IOException {
        Draft draft = writers.get(stream);
        if (draft == null) {
            throw closed(stream);
        }
        draft.output.write(buffer, 0, length);
    }

    @Override
    public void closeStream(long stream) throws IOException {
        end(stream, Draft::complete);
    }

    @Override
    public void abortStream(long stream) throws IOException {
        end(stream, Draft::abort);
    }

    @Override
    public void makeDirectories(String uri) throws IOException {
        Path path = path(uri);
        if (!fileSystem(path).mkdirs(path)) {
            throw new IOException(uri + " cannot be created as a directory");
        }
    }

    @Override
    public void rename(String from, String to) throws IOException {
        Path source = path(from);
        Replacement.rename(fileSystem(source), source, path(to));
    }

    @Override
    public boolean delete(String uri) throws IOException {
        Path path = path(uri);
        return fileSystem(path).delete(path, true);
    }

    @Override
    public boolean canConcatenate(String directory) throws IOException {
        return Concatenation.isExpected(path(directory), configuration);
    }

    @Override
    public boolean concatenate(String target, String[] sources) throws IOException {
        List<Path> paths = new ArrayList<>();
        for (String source : sources) {
            paths.add(path(source));
        }
        return Concatenation.append(path(target), paths, configuration);
    }

    @Override
    public String[] hdfsSettings(String directory) {
        return HdfsDirections.settings(configuration);
    }

    @Override
    public String hdfsUser(String directory) throws IOException {
        return HdfsDirections.user();
    }

    @Override
    public String hdfsObstacle(String directory) throws IOException {
        return HdfsDirections.obstacle(path(directory), configuration);
    }

    @Override
    public void close() throws IOException {
        List<Long> open = new ArrayList<>(readers.keySet());
        open.addAll(writers.keySet());
        abortStreams(open);
    }

    /** The full URI of a path; one without a scheme lies in the default file system of the configuration. */
    public static String qualify(String path, Configuration configuration) throws IOException {
        Path given = path(path);
        return given.getFileSystem(configuration).makeQualified(given).toString();
    }

    /**
     * The full URI of the directory where an index is to be.
     *
     * @throws FaissIndexException of kind INVALID_SPEC, naming the directory, when no file system has it
     */
    public static String qualifyOutput(String outputDirectory, Configuration configuration) {
        try {
            return qualify(outputDirectory, configuration);
        } catch (IOException | IllegalArgumentException unusable) {
            // The second is what Hadoop says of a host that nobody knows.
            String message = "the output directory '" + outputDirectory + "' cannot be used: " + unusable.getMessage();
            throw new FaissIndexException(Kind.INVALID_SPEC, message, unusable);
        }
    }

    private interface Ending {
        void of(Draft draft) throws IOException;
    }

    private void end(long stream, Ending ending) throws IOException {
        Draft draft = writers.remove(stream);
        if (draft != null) {
            ending.of(draft);
            return;
        }
        FSDataInputStream reader = readers.remove(stream);
        if (reader == null) {
            throw closed(stream);
        }
        reader.close();
    }

    private FileSystem fileSystem(Path path) throws IOException {
        return path.getFileSystem(configuration);
    }

    private static Path path(String uri) throws IOException {
        try {
            return new Path(uri);
        } catch (IllegalArgumentException malformed) {
            throw new IOException("'" + uri + "' is not a path: " + malformed.getMessage(), malformed);
        }
    }

    private static IOException closed(long stream) {
        return new IOException("stream " + stream + " is not open");
    }

    /** A file that is being written. */
    private static final class Draft {
        private final FileSystem fileSystem;
        private final Path path;
        private final FSDataOutputStream output;

        Draft(FileSystem fileSystem, Path path, boolean overwrite) throws IOException {
            this.fileSystem = fileSystem;
            this.path = path;
            output = fileSystem.create(path, overwrite);
        }

        void complete() throws IOException {
            try (FSDataOutputStream closed = output) {
                if (closed.hasCapability(StreamCapabilities.HSYNC)) {
                    closed.hsync();
                }
            }
        }

        void abort() throws IOException {
            try {
                output.close();
            } finally {
                fileSystem.delete(path, false);
            }
        }
    }
}
