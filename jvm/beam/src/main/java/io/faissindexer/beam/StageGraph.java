package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.stages.StagePlan;
import io.faissindexer.stages.StagedBuild;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Contextful;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Requirements;
import org.apache.beam.sdk.transforms.Reshuffle;
import org.apache.beam.sdk.transforms.Sample;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The stages of a build as one graph, in which each waits for what it goes by because that is its side input. What a
 * stage has come to is read through one view alone, so that a runner that computes a collection anew for each reader
 * does no stage twice.
 */
final class StageGraph {
    private static final Logger LOG = LoggerFactory.getLogger(StageGraph.class);

    private final Pipeline pipeline;
    private final Rows rows;
    private final String name;
    private final IndexSpec spec;
    private final String output;

    /** The graph of a build by its name, which is not there yet. */
    StageGraph(Pipeline pipeline, Rows rows, String name, IndexSpec spec, String output) {
        this.pipeline = pipeline;
        this.rows = rows;
        this.name = name;
        this.spec = spec;
        this.output = output;
    }

    /** Adds the graph to the pipeline. */
    PCollection<IndexReceipt> build() {
        PCollectionView<StagedBuild> started = single("start", started());

        PCollectionView<List<StageOutcome>> firstSamples = onEveryPartition("sample",
                step("sample stage", PartitionStage.class,
                        earlier -> List.of(earlier.get(started).partitionStage("sample", List.of())), started));
        PCollectionView<StagePlan> firstPlan = single("plan", step("plan", StagePlan.class,
                earlier -> List.of(noted(earlier.get(started).plan(earlier.get(firstSamples)))),
                started, firstSamples));

        PCollectionView<List<StageOutcome>> secondSamples = onEveryPartition("sample again",
                step("sample stage again", PartitionStage.class,
                        earlier -> earlier.get(firstPlan).resamples()
                                ? List.of(earlier.get(firstPlan).build().partitionStage("sample", List.of()))
                                : List.of(),
                        firstPlan));
        PCollectionView<StagePlan> plan = single("final plan", step("plan again", StagePlan.class,
                earlier -> List.of(earlier.get(firstPlan).resamples()
                        ? lasting(noted(earlier.get(firstPlan).build().plan(earlier.get(secondSamples))))
                        : earlier.get(firstPlan)),
                firstPlan, secondSamples));
        Outcomes samples = earlier ->
                earlier.get(firstPlan).resamples() ? earlier.get(secondSamples) : earlier.get(firstSamples);

        PCollectionView<List<StageOutcome>> trained = inTasks("train", plan, at -> 1,
                samples, firstPlan, firstSamples, secondSamples);
        PCollectionView<List<StageOutcome>> encoded = onEveryPartition("encode",
                step("encode stage", PartitionStage.class,
                        earlier -> List.of(earlier.get(plan).build().partitionStage("encode", earlier.get(trained))),
                        plan, trained));
        PCollectionView<List<StageOutcome>> merged = inTasks("merge", plan, StagePlan::mergeTasks,
                all(trained, encoded), trained, encoded);
        PCollectionView<List<StageOutcome>> assembled = inTasks("assemble", plan, StagePlan::assembleTasks,
                all(trained, encoded, merged), trained, encoded, merged);
        PCollectionView<List<StageOutcome>> evaluated = inTasks("evaluate", plan, at -> at.evaluates() ? 1 : 0,
                all(trained, encoded, merged, assembled), trained, encoded, merged, assembled);

        return step("publish", IndexReceipt.class,
                earlier -> {
                    List<StageOutcome> outcomes = new ArrayList<>(samples.of(earlier));
                    outcomes.addAll(all(trained, encoded, merged, assembled).of(earlier));
                    outcomes.addAll(measured(earlier.get(evaluated)));
                    return List.of(earlier.get(plan).build().publish(outcomes));
                },
                plan, firstPlan, firstSamples, secondSamples, trained, encoded, merged, assembled, evaluated);
    }

    private PCollection<StagedBuild> started() {
        String build = name;
        IndexSpec given = spec;
        String directory = output;
        if (given.dimension().isPresent()) {
            return step("start", StagedBuild.class,
                    earlier -> List.of(StagedBuild.start(build, given, directory, new BeamFiles(directory))));
        }
        PCollectionView<List<Integer>> dimensions =
                rows.forStage("dimension", () -> pulse("dimension"))
                        .apply("dimension", ParDo.of(new DimensionFn()))
                        .apply("one dimension", Sample.any(1))
                        .apply("dimension view", View.asList());
        return step("start", StagedBuild.class,
                earlier -> {
                    if (earlier.get(dimensions).isEmpty()) {
                        throw new FaissIndexException(Kind.TOO_FEW_ROWS, "the input has no row with an embedding");
                    }
                    IndexSpec complete = given.toBuilder().dimension(earlier.get(dimensions).get(0)).build();
                    return List.of(StagedBuild.start(build, complete, directory, new BeamFiles(directory)));
                },
                dimensions);
    }

    private PCollectionView<List<StageOutcome>> onEveryPartition(String name, PCollection<PartitionStage> stage) {
        PCollectionView<List<PartitionStage>> view = stage.apply(name + " stage view", View.asList());
        return rows
                .forStage(name, () -> step(name + " begins", Integer.class,
                        earlier -> earlier.get(view).isEmpty() ? List.of() : List.of(0), view))
                .apply(name + " in one window", Window.into(new GlobalWindows()))
                .apply(name, ParDo.of(new PartitionStageFn(view)).withSideInputs(view))
                .apply(name + " outcomes", View.asList());
    }

    private PCollectionView<List<StageOutcome>> inTasks(
            String name,
            PCollectionView<StagePlan> plan,
            TaskNumber tasks,
            Outcomes goesBy,
            PCollectionView<?>... views) {
        PCollectionView<?>[] all = with(plan, views);
        PCollectionView<RowlessStage> stage = single(name + " stage", step(name + " stage", RowlessStage.class,
                earlier -> List.of(earlier.get(plan).build().rowlessStage(name, goesBy.of(earlier))), all));
        return step(name + " tasks", Integer.class,
                earlier -> IntStream.range(0, tasks.of(earlier.get(plan))).boxed().collect(Collectors.toList()), plan)
                .apply(name + " spread", Reshuffle.viaRandomKey())
                .apply(name, ParDo.of(new RowlessStageFn(stage)).withSideInputs(stage))
                .apply(name + " outcomes", View.asList());
    }

    /** Something that is worked out in one place, from views. */
    private <T extends Serializable> PCollection<T> step(
            String name, Class<T> type, Step<T> work, PCollectionView<?>... views) {
        return pulse(name).apply(name, FlatMapElements.into(TypeDescriptor.of(type)).via(Contextful.fn(
                (pulse, context) -> work.of(context::sideInput), Requirements.requiresSideInputs(views))));
    }

    private PCollection<Integer> pulse(String name) {
        return pipeline.apply(name + " pulse", Create.of(0));
    }

    private static <T> PCollectionView<T> single(String name, PCollection<T> one) {
        return one.apply(name + " view", View.asSingleton());
    }

    private static PCollectionView<?>[] with(PCollectionView<?> first, PCollectionView<?>... others) {
        List<PCollectionView<?>> all = new ArrayList<>(List.of(others));
        all.add(first);
        return all.toArray(new PCollectionView<?>[0]);
    }

    @SafeVarargs
    private static Outcomes all(PCollectionView<List<StageOutcome>>... views) {
        return earlier -> {
            List<StageOutcome> outcomes = new ArrayList<>();
            for (PCollectionView<List<StageOutcome>> view : views) {
                outcomes.addAll(earlier.get(view));
            }
            return outcomes;
        };
    }

    private static StagePlan noted(StagePlan plan) {
        plan.notes().forEach(LOG::info);
        return plan;
    }

    /** Once the rows are counted, the rate leaves one chance in a billion that it is too low. */
    private static StagePlan lasting(StagePlan plan) {
        if (plan.resamples()) {
            throw new FaissIndexException(Kind.TOO_FEW_ROWS,
                    "by chance, too few rows were sampled twice; another seed or a higher sample rate helps");
        }
        return plan;
    }

    /** That the index cannot be measured, as for want of memory, is no reason to lose it. */
    private static List<StageOutcome> measured(List<StageOutcome> evaluated) {
        for (StageOutcome outcome : evaluated) {
            try {
                outcome.requireDone();
            } catch (FaissIndexException failure) {
                LOG.warn("the index was not measured: {}", failure.getMessage());
                return Collections.emptyList();
            }
        }
        return evaluated;
    }

    /** All rows. */
    interface Rows {
        /** The rows for a stage, which may be read once the other collection has an element. */
        PCollection<KV<Long, float[]>> forStage(String name, Supplier<PCollection<Integer>> begins);
    }

    /** What earlier stages have come to. */
    private interface Earlier {
        <V> V get(PCollectionView<V> view);
    }

    private interface Step<T> extends Serializable {
        Iterable<T> of(Earlier earlier);
    }

    private interface Outcomes extends Serializable {
        List<StageOutcome> of(Earlier earlier);
    }

    private interface TaskNumber extends Serializable {
        int of(StagePlan plan);
    }
}
