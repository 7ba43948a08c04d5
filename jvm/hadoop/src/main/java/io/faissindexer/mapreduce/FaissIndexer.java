package io.faissindexer.mapreduce;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.hadoop.HadoopFileSystemHook;
import io.faissindexer.mapreduce.input.EmbeddingInput;
import io.faissindexer.stages.IndexBuild;
import java.io.IOException;
import java.util.List;
import java.util.function.Consumer;
import org.apache.hadoop.conf.Configuration;

/** Builds an index of the rows of files, with one MapReduce job for each stage. */
public final class FaissIndexer {
    private FaissIndexer() {
    }

    /**
     * Builds an index of all rows and waits for it. An interrupt of the calling thread ends the build.
     *
     * @param configuration of the cluster, and the {@link io.faissindexer.mapreduce.input.InputSettings} of the input;
     *     what it sets for the memory of map tasks holds
     * @param inputs files, directories and patterns of any Hadoop file system; Parquet, SequenceFile, Avro or text
     * @param spec what to build
     * @param outputDirectory a directory of any Hadoop file system that the tasks reach too
     * @throws FaissIndexException when the index cannot be built; nothing is left behind then
     */
    public static IndexReceipt build(
            Configuration configuration, List<String> inputs, IndexSpec spec, String outputDirectory) {
        return build(configuration, inputs, spec, outputDirectory, line -> { });
    }

    /** Builds an index, and says in single lines what is decided and how far it is. */
    public static IndexReceipt build(Configuration configuration, List<String> inputs, IndexSpec spec,
            String outputDirectory, Consumer<String> announcements) {
        String output = HadoopFileSystemHook.qualifyOutput(outputDirectory, configuration);
        EmbeddingInput input = new EmbeddingInput(inputs, configuration);
        input.requireReadable();
        IndexReceipt receipt = null;
        try (MapReduceEngine engine = new MapReduceEngine(configuration, input, spec, output, announcements)) {
            receipt = new IndexBuild(engine, announcements).run(spec, output);
        } catch (IOException failure) {
            if (receipt == null) {
                throw new FaissIndexException(
                        Kind.STORAGE, "MapReduce cannot be used: " + failure.getMessage(), failure);
            }
            announcements.accept("warning: what the jobs wrote cannot be deleted: " + failure.getMessage());
        }
        return receipt;
    }
}
