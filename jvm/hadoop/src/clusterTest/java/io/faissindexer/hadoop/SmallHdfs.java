package io.faissindexer.hadoop;

import io.faissindexer.Embeddings;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.Engine;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.stages.LocalEngine;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.storage.FileSystemHook;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalInt;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.hdfs.HdfsConfiguration;
import org.apache.hadoop.hdfs.MiniDFSCluster;
import org.apache.hadoop.io.IOUtils;

/** What the tests on small clusters share. */
final class SmallHdfs {
    static final Embeddings EMBEDDINGS = new Embeddings(4000, 16);

    private SmallHdfs() {
    }

    /** The configuration of a cluster that keeps its files in a directory. */
    static Configuration configuration(File directory) {
        Configuration configuration = new HdfsConfiguration();
        configuration.set(MiniDFSCluster.HDFS_MINIDFS_BASEDIR, directory.getPath());
        configuration.setInt("dfs.blocksize", 1 << 20);
        configuration.setInt("dfs.namenode.fs-limits.min-block-size", 1024);
        return configuration;
    }

    /** A spec of small builds whose merge is done in parts. */
    static IndexSpec.Builder inParts(int parts) {
        return IndexSpec.builder().factoryString("IVF16,SQ8").report(false).mergeParts(parts);
    }

    /** The index that one task merges on the local disk: what every other way has to equal. */
    static byte[] expected(File directory) throws IOException {
        return expected(directory, EMBEDDINGS, inParts(1).build());
    }

    /** The index of a spec on the local disk. */
    static byte[] expected(File directory, Embeddings embeddings, IndexSpec spec) throws IOException {
        IndexBuild build = new IndexBuild(new LocalEngine(embeddings.partitions(2, 0)));
        IndexReceipt receipt = build.run(spec, new File(directory, "expected").getPath());
        return read(FileSystem.getLocal(new Configuration()), new Path(receipt.index()));
    }

    static byte[] read(FileSystem files, Path file) throws IOException {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (InputStream input = files.open(file)) {
            IOUtils.copyBytes(input, bytes, 4096);
        }
        return bytes.toByteArray();
    }

    /** Names of what lies in a directory, sorted. */
    static List<String> names(FileSystem files, Path directory) throws IOException {
        List<String> names = new ArrayList<>();
        for (FileStatus status : files.listStatus(directory)) {
            names.add(status.getPath().getName());
        }
        names.sort(null);
        return names;
    }

    /** What is published without a report, and nothing else. */
    static List<String> published() {
        return Arrays.asList("_SUCCESS", "faiss.index", "faiss.manifest.json");
    }

    /** The engine of one JVM on a Hadoop file system. */
    static class OnHadoop implements Engine {
        private final Engine rows;
        private final Configuration configuration;

        OnHadoop(Embeddings embeddings, Configuration configuration) {
            rows = new LocalEngine(embeddings.partitions(3, 7));
            this.configuration = configuration;
        }

        /** What happens before the tasks of a stage run. */
        void before(String stage) {
        }

        @Override
        public String input() {
            return rows.input();
        }

        @Override
        public OptionalInt firstDimension() {
            return rows.firstDimension();
        }

        @Override
        public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
            before(name);
            return rows.onEveryPartition(name, stage);
        }

        @Override
        public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
            before(name);
            return rows.inTasks(name, tasks, stage);
        }

        @Override
        public FileSystemHook.Factory files() {
            return new HadoopFiles(configuration);
        }
    }
}
