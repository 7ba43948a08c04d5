package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.stages.StagePlan;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.Max;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Reshuffle;
import org.apache.beam.sdk.transforms.Sample;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * The stages of a build, one behind the other. What they have come to so far is one element, which is grouped with the
 * outcomes of the next stage, so that a stage has ended everywhere before another begins. Only a stage itself is a side
 * input, of its own rows or tasks: a step that waited for side inputs from the first moment on would keep the
 * DirectRunner busy with asking whether they are there.
 */
final class StageGraph {
    private static final Coder<KV<Integer, Serializable>> GATHERED =
            KvCoder.of(VarIntCoder.of(), SerializableCoder.of(Serializable.class));

    private final Pipeline pipeline;
    private final Rows rows;
    private final String build;
    private final IndexSpec spec;
    private final String output;

    /** The graph of a build by its name, which is not there yet. */
    StageGraph(Pipeline pipeline, Rows rows, String build, IndexSpec spec, String output) {
        this.pipeline = pipeline;
        this.rows = rows;
        this.build = build;
        this.spec = spec;
        this.output = output;
    }

    /** Adds the graph to the pipeline. */
    PCollection<IndexReceipt> build() {
        PCollection<StagesSoFar> begun = begun();
        PCollection<StagesSoFar> sampled =
                onEveryPartition("sample", begun, StagesSoFar::sample, StagesSoFar::sampled);
        PCollection<StagesSoFar> planned =
                onEveryPartition("sample again", sampled, StagesSoFar::sample, StagesSoFar::sampledAgain);
        PCollection<StagesSoFar> trained = inTasks("train", planned, plan -> 1, StagesSoFar::after);
        PCollection<StagesSoFar> encoded =
                onEveryPartition("encode", trained, StagesSoFar::encode, StagesSoFar::after);
        PCollection<StagesSoFar> merged = inTasks("merge", encoded, StagePlan::mergeTasks, StagesSoFar::after);
        PCollection<StagesSoFar> assembled =
                inTasks("assemble", merged, StagePlan::assembleTasks, StagesSoFar::after);
        PCollection<StagesSoFar> evaluated =
                inTasks("evaluate", assembled, plan -> plan.evaluates() ? 1 : 0, StagesSoFar::measured);
        return evaluated.apply("publish",
                MapElements.into(TypeDescriptor.of(IndexReceipt.class)).via(StagesSoFar::publish));
    }

    private PCollection<StagesSoFar> begun() {
        String name = build;
        IndexSpec given = spec;
        String directory = output;
        PCollection<Integer> begin = pipeline.apply("begin", Create.of(0));
        PCollection<IndexSpec> complete;
        if (given.dimension().isPresent()) {
            complete = begin.apply("spec", MapElements.into(TypeDescriptor.of(IndexSpec.class)).via(zero -> given));
        } else {
            PCollection<Integer> dimension = rows.forStage("dimension", () -> begin)
                    .apply("dimension in one window", Window.into(new GlobalWindows()))
                    .apply("dimension", ParDo.of(new DimensionFn()))
                    .apply("one dimension", Sample.any(1));
            // An embedding has one component at least; the other element is there where there is no embedding.
            complete = PCollectionList.of(dimension).and(begin)
                    .apply("dimension or none", Flatten.pCollections())
                    .apply("largest", Max.integersGlobally())
                    .apply("spec", MapElements.into(TypeDescriptor.of(IndexSpec.class)).via(found -> {
                        if (found == 0) {
                            throw new FaissIndexException(
                                    Kind.TOO_FEW_ROWS, "the input has no row with an embedding");
                        }
                        return given.toBuilder().dimension(found).build();
                    }));
        }
        return complete.apply("start", MapElements.into(TypeDescriptor.of(StagesSoFar.class))
                .via(known -> StagesSoFar.begin(name, known, directory)));
    }

    private PCollection<StagesSoFar> onEveryPartition(
            String name,
            PCollection<StagesSoFar> soFar,
            SerializableFunction<StagesSoFar, List<PartitionStage>> stageOf,
            Next next) {
        PCollection<PartitionStage> stage = soFar.apply(
                name + " stage", FlatMapElements.into(TypeDescriptor.of(PartitionStage.class)).via(stageOf));
        PCollectionView<List<PartitionStage>> view = stage.apply(name + " view", View.asList());
        PCollection<StageOutcome> outcomes = rows
                .forStage(name, () -> stage.apply(
                        name + " begins", MapElements.into(TypeDescriptors.integers()).via(begun -> 0)))
                .apply(name + " in one window", Window.into(new GlobalWindows()))
                .apply(name, ParDo.of(new PartitionStageFn(view)).withSideInputs(view));
        return gathered(name, soFar, outcomes, next);
    }

    private static PCollection<StagesSoFar> inTasks(
            String name, PCollection<StagesSoFar> soFar, TaskNumber tasks, Next next) {
        PCollectionView<RowlessStage> view = soFar
                .apply(name + " stage", MapElements.into(TypeDescriptor.of(RowlessStage.class))
                        .via(at -> at.rowless(name)))
                .apply(name + " view", View.asSingleton());
        PCollection<StageOutcome> outcomes = soFar
                .apply(name + " tasks", FlatMapElements.into(TypeDescriptors.integers()).via(
                        at -> IntStream.range(0, tasks.of(at.plan())).boxed().collect(Collectors.toList())))
                .apply(name + " spread", Reshuffle.viaRandomKey())
                .apply(name, ParDo.of(new RowlessStageFn(view)).withSideInputs(view));
        return gathered(name, soFar, outcomes, next);
    }

    /** One element again, once the stage has ended everywhere. */
    private static PCollection<StagesSoFar> gathered(
            String name, PCollection<StagesSoFar> soFar, PCollection<StageOutcome> outcomes, Next next) {
        return PCollectionList.of(keyed(name + " before", soFar)).and(keyed(name + " outcomes", outcomes))
                .apply(name + " all", Flatten.pCollections())
                .apply(name + " gathered", GroupByKey.create())
                .apply(name + " done", MapElements.into(TypeDescriptor.of(StagesSoFar.class)).via(group -> {
                    StagesSoFar before = null;
                    List<StageOutcome> made = new ArrayList<>();
                    for (Serializable element : group.getValue()) {
                        if (element instanceof StagesSoFar) {
                            before = (StagesSoFar) element;
                        } else {
                            made.add((StageOutcome) element);
                        }
                    }
                    return next.after(before, made);
                }));
    }

    /** Under the one key, by which everything comes together. */
    private static <T extends Serializable> PCollection<KV<Integer, Serializable>> keyed(
            String name, PCollection<T> elements) {
        TypeDescriptor<KV<Integer, Serializable>> type = new TypeDescriptor<KV<Integer, Serializable>>() { };
        return elements
                .apply(name, MapElements.into(type).via(element -> KV.of(0, element)))
                .setCoder(GATHERED);
    }

    /** All rows. */
    interface Rows {
        /** The rows for a stage, which may be read once the other collection has an element. */
        PCollection<KV<Long, float[]>> forStage(String name, Supplier<PCollection<Integer>> begins);
    }

    private interface Next extends Serializable {
        StagesSoFar after(StagesSoFar before, List<StageOutcome> outcomes);
    }

    private interface TaskNumber extends Serializable {
        int of(StagePlan plan);
    }
}
