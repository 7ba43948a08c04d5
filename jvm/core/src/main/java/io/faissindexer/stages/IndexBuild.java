package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.internal.Log;
import io.faissindexer.internal.NativeLogs;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
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
        IndexSpec complete = withDimension(spec, outputDirectory);
        String name = StagedBuild.newName();
        Course course = new Course(StagedBuild.start(name, complete, outputDirectory, engine.files()));
        try {
            return course.run();
        } catch (FaissIndexException failure) {
            throw abandoned(name, outputDirectory, failure);
        } catch (Throwable failure) {
            abandon(name, outputDirectory, failure);
            throw failure;
        }
    }

    private IndexSpec withDimension(IndexSpec spec, String outputDirectory) {
        if (spec.dimension().isPresent()) {
            return spec;
        }
        // A build that cannot be right should not cost the look at the first row.
        StagedBuild.check(spec, outputDirectory, engine.files());
        int dimension = engine.firstDimension().orElseThrow(() -> new FaissIndexException(
                Kind.TOO_FEW_ROWS, engine.input() + " has no row with an embedding"));
        return spec.toBuilder().dimension(dimension).build();
    }

    /** Abandons a build. Returns why it failed, which of a build that lost its files is not that they are missing. */
    private FaissIndexException abandoned(String name, String output, FaissIndexException failure) {
        boolean hadItsFiles = abandon(name, output, failure);
        boolean maybeForWantOfThem = failure.kind() == Kind.STORAGE || failure.kind() == Kind.NOT_FOUND;
        if (hadItsFiles || !maybeForWantOfThem) {
            return failure;
        }
        return new FaissIndexException(
                failure.kind(),
                "another build into " + output + " has deleted the temporary files of this one: " + failure.getMessage(),
                failure);
    }

    /** Returns false when what the build has written was deleted by somebody else. */
    private boolean abandon(String name, String output, Throwable failure) {
        try {
            return StagedBuild.abandon(name, output, engine.files());
        } catch (RuntimeException leftBehind) {
            failure.addSuppressed(leftBehind);
            LOG.warn("what the failed build has written cannot be deleted: " + leftBehind.getMessage());
            return true;
        }
    }

    /** One build that has been started. */
    private final class Course {
        private StagedBuild build;

        Course(StagedBuild build) {
            this.build = build;
        }

        IndexReceipt run() {
            List<StageOutcome> outcomes = new ArrayList<>();
            StagePlan plan = sample(outcomes);
            // A stage gets what it goes by and no more: receipts travel to every task.
            List<StageOutcome> merged = inTasks("train", 1, outcomes);
            merged.addAll(onEveryPartition("encode", merged));
            merged.addAll(inTasks("merge", plan.mergeTasks(), merged));
            if (plan.assembleTasks() > 0) {
                merged.addAll(inTasks("assemble", plan.assembleTasks(), merged));
            }
            outcomes.addAll(merged);
            if (plan.evaluates()) {
                outcomes.addAll(evaluate(merged));
            }
            LOG.info("publish");
            return build.publish(outcomes);
        }

        /** Samples, and settles what to train on. */
        private StagePlan sample(List<StageOutcome> outcomes) {
            while (true) {
                List<StageOutcome> samples = onEveryPartition("sample", Collections.emptyList());
                StagePlan plan = build.plan(samples);
                build = plan.build();
                plan.notes().forEach(announcements);
                if (!plan.resamples()) {
                    outcomes.addAll(samples);
                    return plan;
                }
            }
        }

        /** Measures the index; that it cannot be measured, as for want of memory, is no reason to lose it. */
        private List<StageOutcome> evaluate(List<StageOutcome> merged) {
            try {
                return inTasks("evaluate", 1, merged);
            } catch (FaissIndexException failure) {
                if (failure.kind() == Kind.CANCELLED) {
                    throw failure;
                }
                announcements.accept("warning: the index was not measured: " + failure.getMessage());
                return Collections.emptyList();
            }
        }

        private List<StageOutcome> onEveryPartition(String stage, List<StageOutcome> earlier) {
            LOG.info(stage + " every partition");
            PartitionStage work = build.partitionStage(stage, earlier);
            announceMemory(stage, work.nativeMemory(engine.threadsOfTask()));
            return done(engine.onEveryPartition(stage + " partitions", work));
        }

        private List<StageOutcome> inTasks(String stage, int tasks, List<StageOutcome> earlier) {
            LOG.info(stage + " in " + (tasks == 1 ? "one task" : tasks + " tasks"));
            RowlessStage work = build.rowlessStage(stage, earlier);
            announceMemory(stage, work.nativeMemory(engine.threadsOfTask()));
            return done(engine.inTasks(stage, tasks, work));
        }

        /** What the operator of a cluster has to leave free beside the heaps of JVMs. */
        private void announceMemory(String stage, long bytes) {
            long mebibytes = (bytes + MEBIBYTE - 1) / MEBIBYTE;
            announcements.accept(stage + ": a task takes up to " + mebibytes + " MiB outside the heap of its JVM");
        }

        private List<StageOutcome> done(List<StageOutcome> outcomes) {
            outcomes.forEach(StageOutcome::requireDone);
            NativeLogs.deliver();
            return new ArrayList<>(outcomes);
        }
    }
}
