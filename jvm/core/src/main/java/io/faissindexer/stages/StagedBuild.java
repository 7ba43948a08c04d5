package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.internal.NativeBridge;
import io.faissindexer.storage.FileSystemHook;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.UUID;

/**
 * A build that has been started, stage by stage, for engines that cannot wait for one stage before they describe the
 * next. Travels to the tasks of an engine. What comes after what: {@code sample} on every partition, {@link #plan},
 * {@code train} in one task, {@code encode} on every partition, {@code merge} and {@code assemble} in as many tasks as
 * the plan says, {@code evaluate} in one if the plan says so, {@link #publish}.
 */
public final class StagedBuild implements Serializable {
    private static final long serialVersionUID = 1L;

    private final String name;
    private final String build;
    private final int dimension;
    private final FileSystemHook.Factory files;

    private StagedBuild(String name, String build, int dimension, FileSystemHook.Factory files) {
        this.name = name;
        this.build = build;
        this.dimension = dimension;
        this.files = files;
    }

    /** A name that no other build has. */
    public static String newName() {
        return UUID.randomUUID().toString().replace("-", "");
    }

    /**
     * Checks all of a spec and an output directory that can be checked without the dimension; writes nothing.
     *
     * @throws FaissIndexException when nothing could be built
     */
    public static void check(IndexSpec spec, String outputDirectory, FileSystemHook.Factory files) {
        NativeCall.through(files, hook -> {
            NativeBridge.checkBuild(NativeCall.pairs(spec), outputDirectory, hook);
            return null;
        });
    }

    /**
     * Starts a build: makes room for its files in the output directory. A call that is repeated changes nothing.
     *
     * @param name by which {@link #abandon} finds it
     * @param spec with its dimension
     * @throws FaissIndexException when it cannot be built
     */
    public static StagedBuild start(
            String name, IndexSpec spec, String outputDirectory, FileSystemHook.Factory files) {
        String build = NativeCall.through(
                files, hook -> NativeBridge.startBuild(name, NativeCall.pairs(spec), outputDirectory, hook));
        return new StagedBuild(name, build, spec.dimension().orElse(0), files);
    }

    /** By which {@link #abandon} finds it. */
    public String name() {
        return name;
    }

    /** The stage {@code sample}, which goes by no other, or {@code encode}, which goes by {@code train}. */
    public PartitionStage partitionStage(String stage, Collection<StageOutcome> earlier) {
        return new PartitionStage(call(stage, earlier), dimension);
    }

    /**
     * The stage {@code train}, which goes by all of {@code sample}; {@code merge}, by {@code train} and {@code encode};
     * {@code assemble} and {@code evaluate}, by all from {@code train} on.
     */
    public RowlessStage rowlessStage(String stage, Collection<StageOutcome> earlier) {
        return new RowlessStage(call(stage, earlier));
    }

    /** Decides, by all of {@code sample}, what to train on and what comes after. */
    public StagePlan plan(Collection<StageOutcome> samples) {
        Map<String, String> decision = NativeCall.facts(
                NativeCall.logged(() -> NativeBridge.planTraining(build, receipts(samples))));
        List<String> notes = new ArrayList<>(Arrays.asList(decision.get("notes").split("\n")));
        notes.removeIf(String::isEmpty);
        return new StagePlan(
                new StagedBuild(name, decision.get("build"), dimension, files),
                Boolean.parseBoolean(decision.get("resample")),
                notes,
                Integer.parseInt(decision.get("mergeTasks")),
                Integer.parseInt(decision.get("assembleTasks")),
                Boolean.parseBoolean(decision.get("evaluates")));
    }

    /** Puts the index in place, by all stages. A call may be repeated: it goes on where it stopped. */
    public IndexReceipt publish(Collection<StageOutcome> all) {
        return new IndexReceipt(NativeCall.facts(
                NativeCall.through(files, hook -> NativeBridge.publish(build, receipts(all), hook))));
    }

    /** What {@link #publish} has returned for the index in a directory. */
    public static IndexReceipt published(String outputDirectory, FileSystemHook.Factory files) {
        return new IndexReceipt(NativeCall.facts(
                NativeCall.through(files, hook -> NativeBridge.published(outputDirectory, hook))));
    }

    /** Deletes what a build has written, by group or not. Returns false when another build had done so before. */
    public static boolean abandon(String name, String outputDirectory, FileSystemHook.Factory files) {
        return NativeCall.through(files, hook -> NativeBridge.abandon(name, outputDirectory, hook));
    }

    private StageCall call(String stage, Collection<StageOutcome> earlier) {
        return new StageCall(stage, name, build, Arrays.asList(receipts(earlier)), files);
    }

    private static String[] receipts(Collection<StageOutcome> outcomes) {
        return outcomes.stream().map(StageOutcome::receipt).toArray(String[]::new);
    }
}
