package io.faissindexer.mapreduce;

import io.faissindexer.hadoop.tasks.StageFile;
import java.io.Closeable;
import java.io.IOException;
import java.io.Serializable;
import java.util.UUID;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.mapreduce.Cluster;
import org.apache.hadoop.mapreduce.JobSubmissionFiles;

/**
 * A directory beside those that Hadoop keeps of the user's jobs, for what the jobs of one build read and write. It is
 * made when it is needed and deleted at the end, also when the process is told to end.
 */
final class StagingDirectory implements Closeable {
    private static final FsPermission OWNER_ONLY = FsPermission.createImmutable((short) 0700);

    private final Configuration configuration;
    private Path directory;
    private int stages;

    StagingDirectory(Configuration configuration) {
        this.configuration = configuration;
    }

    Path path() throws IOException {
        if (directory == null) {
            Cluster cluster = new Cluster(configuration);
            try {
                directory = new Path(
                        JobSubmissionFiles.getStagingDir(cluster, configuration), "faiss-indexer-" + UUID.randomUUID());
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                throw new IOException(interrupted);
            } finally {
                cluster.close();
            }
            // A path without a scheme would be taken for one of this machine where a jar is expected.
            directory = fileSystem().makeQualified(directory);
            FileSystem.mkdirs(fileSystem(), directory, OWNER_ONLY);
            fileSystem().deleteOnExit(directory);
        }
        return directory;
    }

    /** Copies a file of this machine into the directory. */
    Path upload(Path local, String name) throws IOException {
        Path copy = new Path(path(), name);
        fileSystem().copyFromLocalFile(local, copy);
        return copy;
    }

    /** Makes a place for the job of a stage, with the stage in it. */
    StageFiles stage(String name, Serializable stage) throws IOException {
        stages++;
        Path place = new Path(path(), stages + "-" + name.replace(' ', '-'));
        StageFiles files = new StageFiles(place);
        StageFile.write(stage, files.stage(), configuration);
        return files;
    }

    @Override
    public void close() throws IOException {
        if (directory != null) {
            fileSystem().delete(directory, true);
            fileSystem().cancelDeleteOnExit(directory);
        }
    }

    private FileSystem fileSystem() throws IOException {
        return directory.getFileSystem(configuration);
    }
}
