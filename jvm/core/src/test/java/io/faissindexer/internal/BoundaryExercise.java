package io.faissindexer.internal;

import io.faissindexer.DirectoryHook;
import io.faissindexer.Embeddings;
import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.Engine;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.stages.LocalEngine;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Collectors;

/** A program that uses every native method and every method of a hook, and fails in every way. */
public final class BoundaryExercise {
    /** Its last line. */
    static final String END = "went through everything";

    private BoundaryExercise() {
    }

    /** Takes a directory to work in. */
    public static void main(String[] arguments) throws IOException {
        Path directory = Paths.get(arguments[0]);
        NativeLibrary.load();
        for (String fault : new String[] {"error", "panic", "faiss"}) {
            try {
                NativeBridge.raise(fault);
                throw new AssertionError(fault + " did not arrive");
            } catch (FaissIndexException arrived) {
                System.out.println(arrived.kind() + ": " + arrived.getMessage());
            }
        }
        Embeddings embeddings = new Embeddings(2000, 16);
        LocalEngine local = new LocalEngine(embeddings.partitions(3, 1));
        IndexBuild throughHook = new IndexBuild(new HookedEngine(local, directory));
        // Lists with second codes, a graph in one task for each shard, codes by position that are packed in blocks.
        for (String family : new String[] {"IVF16,SQ8", "IVF16,PQ4np,RFlat", "HNSW8", "PQ8x4fs"}) {
            for (int shards : new int[] {1, 2}) {
                IndexSpec spec = IndexSpec.builder().factoryString(family).shards(shards).overwrite(true).build();
                IndexReceipt plain = new IndexBuild(local).run(spec, directory.resolve("plain").toString());
                IndexReceipt hooked = throughHook.run(spec, "hooked:/out");
                if (!plain.crc32c().equals(hooked.crc32c())) {
                    throw new AssertionError("a hook changes the index " + family);
                }
                requireEqualRecall(family, directory);
            }
        }
        try {
            IndexSpec spec = IndexSpec.builder().factoryString("IVF16,SQ8").build();
            throughHook.run(spec.toBuilder().factoryString("IVF9999,SQ8").build(), "hooked:/other");
            throw new AssertionError("too few rows were enough");
        } catch (FaissIndexException arrived) {
            System.out.println(arrived.kind() + ": " + arrived.getMessage());
        }
        System.out.println(END);
    }

    /** An index is read in place where it is a local file, and copied from everywhere else. */
    private static void requireEqualRecall(String family, Path directory) throws IOException {
        List<String> plain = recall(directory.resolve("plain"));
        List<String> hooked = recall(directory.resolve("out"));
        if (plain.isEmpty() || !plain.equals(hooked)) {
            throw new AssertionError("a hook changes the recall of " + family + ": " + plain + ", " + hooked);
        }
    }

    private static List<String> recall(Path output) throws IOException {
        return Files.readAllLines(output.resolve("faiss.manifest.json")).stream()
                .filter(line -> line.contains("\"share\""))
                .collect(Collectors.toList());
    }

    /** Reaches files through a hook. */
    private static final class HookedEngine implements Engine {
        private final Engine rows;
        private final Path directory;

        HookedEngine(Engine rows, Path directory) {
            this.rows = rows;
            this.directory = directory;
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
            return rows.onEveryPartition(name, stage);
        }

        @Override
        public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
            return rows.inTasks(name, tasks, stage);
        }

        @Override
        public FileSystemHook.Factory files() {
            return () -> new DirectoryHook(directory);
        }
    }
}
