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
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.List;
import java.util.OptionalInt;

/** A program that uses every native method and every method of a hook, and fails in every way. */
public final class BoundaryExercise {
    /** Its last line. */
    static final String END = "went through everything";

    private BoundaryExercise() {
    }

    /** Takes a directory to work in. */
    public static void main(String[] arguments) {
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
        IndexSpec spec = IndexSpec.builder().factoryString("IVF16,SQ8").overwrite(true).build();
        Embeddings embeddings = new Embeddings(2000, 16);
        LocalEngine local = new LocalEngine(embeddings.partitions(3, 1));
        IndexReceipt plain = new IndexBuild(local).run(spec, directory.resolve("plain").toString());
        IndexBuild throughHook = new IndexBuild(new HookedEngine(local, directory));
        throughHook.run(spec, "hooked:/out");
        IndexReceipt hooked = throughHook.run(spec, "hooked:/out");
        if (!plain.crc32c().equals(hooked.crc32c())) {
            throw new AssertionError("a hook changes the index");
        }
        try {
            throughHook.run(spec.toBuilder().factoryString("IVF9999,SQ8").build(), "hooked:/other");
            throw new AssertionError("too few rows were enough");
        } catch (FaissIndexException arrived) {
            System.out.println(arrived.kind() + ": " + arrived.getMessage());
        }
        System.out.println(END);
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
