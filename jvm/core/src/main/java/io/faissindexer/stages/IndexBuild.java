package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.internal.Log;
import io.faissindexer.internal.NativeBridge;
import io.faissindexer.internal.NativeLibrary;
import io.faissindexer.internal.NativeLogs;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;

/**
 * The course of a build, the same on every engine: sample, decide, train, encode, merge, assemble if that was done in
 * parts, evaluate if there is to be a report, publish. Which rows are good, what files are called and what a receipt
 * says is the native library's to know.
 */
public final class IndexBuild {
    private static final Log LOG = Log.named(IndexBuild.class.getName());
    private static final long MEBIBYTE = 1 << 20;

    private final Engine engine;
    private final Consumer<String> announcements;

    /** A build on an engine, which logs what is decided on the way. */
    public IndexBuild(Engine engine) {
        this(engine, LOG::info);
    }

    /** A build on an engine; what is decided on the way is said in single lines. */
    public IndexBuild(Engine engine, Consumer<String> announcements) {
        this.engine = engine;
        this.announcements = announcements;
    }

    /**
     * Builds an index of the engine's input.
     *
     * @throws FaissIndexException when it cannot be built; nothing is left behind then
     */
    public IndexReceipt run(IndexSpec spec, String outputDirectory) {
        NativeLibrary.load();
        try (FileSystemHook files = engine.files().open()) {
            IndexSpec complete = withDimension(spec, outputDirectory, files);
            String build = NativeBridge.startBuild(pairs(complete), outputDirectory, files);
            NativeLogs.deliver();
            try {
                return new IndexReceipt(facts(new Course(build, complete.dimension().getAsInt(), files).run()));
            } catch (FaissIndexException failure) {
                throw abandoned(build, outputDirectory, files, failure);
            } catch (Throwable failure) {
                abandon(build, files, failure);
                throw failure;
            }
        } catch (IOException failure) {
            throw new FaissIndexException(
                    FaissIndexException.Kind.STORAGE, "the file system hook cannot be closed: " + failure, failure);
        } finally {
            NativeLogs.deliver();
        }
    }

    private IndexSpec withDimension(IndexSpec spec, String outputDirectory, FileSystemHook files) {
        if (spec.dimension().isPresent()) {
            return spec;
        }
        // A build that cannot be right should not cost the look at the first row.
        NativeBridge.checkBuild(pairs(spec), outputDirectory, files);
        int dimension = engine.firstDimension().orElseThrow(() -> new FaissIndexException(
                FaissIndexException.Kind.TOO_FEW_ROWS, engine.input() + " has no row with an embedding"));
        return spec.toBuilder().dimension(dimension).build();
    }

    /** Abandons a build. Returns why it failed, which of a build that lost its files is not that they are missing. */
    private static FaissIndexException abandoned(
            String build, String output, FileSystemHook files, FaissIndexException failure) {
        boolean hadItsFiles = abandon(build, files, failure);
        boolean maybeForWantOfThem = failure.kind() == FaissIndexException.Kind.STORAGE
                || failure.kind() == FaissIndexException.Kind.NOT_FOUND;
        if (hadItsFiles || !maybeForWantOfThem) {
            return failure;
        }
        return new FaissIndexException(
                failure.kind(),
                "another build into " + output + " has deleted the temporary files of this one: " + failure.getMessage(),
                failure);
    }

    /** Returns false when what the build has written was deleted by somebody else. */
    private static boolean abandon(String build, FileSystemHook files, Throwable failure) {
        try {
            return NativeBridge.abandon(build, files);
        } catch (RuntimeException leftBehind) {
            failure.addSuppressed(leftBehind);
            LOG.warn("what the failed build has written cannot be deleted: " + leftBehind.getMessage());
            return true;
        }
    }

    private static String[] pairs(IndexSpec spec) {
        List<String> pairs = new ArrayList<>();
        spec.values().forEach((key, value) -> {
            pairs.add(key);
            pairs.add(value);
        });
        return pairs.toArray(new String[0]);
    }

    private static Map<String, String> facts(String[] pairs) {
        Map<String, String> facts = new TreeMap<>();
        for (int at = 0; at + 1 < pairs.length; at += 2) {
            facts.put(pairs[at], pairs[at + 1]);
        }
        return facts;
    }

    /** One build that has been started. */
    private final class Course {
        private final int dimension;
        private final FileSystemHook files;
        private String build;
        private int mergeTasks;
        private int assembleTasks;
        private boolean evaluates;

        Course(String build, int dimension, FileSystemHook files) {
            this.build = build;
            this.dimension = dimension;
            this.files = files;
        }

        String[] run() {
            List<String> receipts = sample();
            // A stage gets what it goes by and no more: receipts travel to every task.
            List<String> encoded = inTasks("train", 1, receipts);
            encoded.addAll(onEveryPartition("encode", encoded));
            List<String> merged = new ArrayList<>(encoded);
            merged.addAll(inTasks("merge", mergeTasks, encoded));
            if (assembleTasks > 0) {
                merged.addAll(inTasks("assemble", assembleTasks, merged));
            }
            receipts.addAll(merged);
            if (evaluates) {
                receipts.addAll(evaluate(merged));
            }
            LOG.info("publish");
            return NativeBridge.publish(build, receipts.toArray(new String[0]), files);
        }

        /** Measures the index; that it cannot be measured, as for want of memory, is no reason to lose it. */
        private List<String> evaluate(List<String> merged) {
            try {
                return inTasks("evaluate", 1, merged);
            } catch (FaissIndexException failure) {
                if (failure.kind() == FaissIndexException.Kind.CANCELLED) {
                    throw failure;
                }
                announcements.accept("warning: the index was not measured: " + failure.getMessage());
                return Collections.emptyList();
            }
        }

        private List<String> sample() {
            while (true) {
                List<String> receipts = onEveryPartition("sample", Collections.emptyList());
                if (!hasToSampleAgain(receipts)) {
                    return receipts;
                }
            }
        }

        /** Settles what to train on; the rate rises with every answer of {@code true}, at most to all rows. */
        private boolean hasToSampleAgain(List<String> receipts) {
            Map<String, String> decision = facts(NativeBridge.planTraining(build, receipts.toArray(new String[0])));
            build = decision.get("build");
            mergeTasks = Integer.parseInt(decision.get("mergeTasks"));
            assembleTasks = Integer.parseInt(decision.get("assembleTasks"));
            evaluates = Boolean.parseBoolean(decision.get("evaluates"));
            for (String note : decision.get("notes").split("\n")) {
                if (!note.isEmpty()) {
                    announcements.accept(note);
                }
            }
            return Boolean.parseBoolean(decision.get("resample"));
        }

        private List<String> onEveryPartition(String stage, List<String> inputs) {
            LOG.info(stage + " every partition");
            PartitionStage work = new PartitionStage(call(stage, inputs), dimension);
            announceMemory(stage, work.nativeMemory(engine.threadsOfTask()));
            return receipts(engine.onEveryPartition(stage + " partitions", work));
        }

        private List<String> inTasks(String stage, int tasks, List<String> inputs) {
            LOG.info(stage + " in " + (tasks == 1 ? "one task" : tasks + " tasks"));
            RowlessStage work = new RowlessStage(call(stage, inputs));
            announceMemory(stage, work.nativeMemory(engine.threadsOfTask()));
            return receipts(engine.inTasks(stage, tasks, work));
        }

        /** What the operator of a cluster has to leave free beside the heaps of JVMs. */
        private void announceMemory(String stage, long bytes) {
            long mebibytes = (bytes + MEBIBYTE - 1) / MEBIBYTE;
            announcements.accept(stage + ": a task takes up to " + mebibytes + " MiB outside the heap of its JVM");
        }

        private List<String> receipts(List<StageOutcome> outcomes) {
            List<String> receipts = new ArrayList<>();
            for (StageOutcome outcome : outcomes) {
                receipts.add(outcome.receipt());
            }
            NativeLogs.deliver();
            return receipts;
        }

        private StageCall call(String stage, List<String> inputs) {
            return new StageCall(stage, build, inputs, engine.files());
        }
    }
}
