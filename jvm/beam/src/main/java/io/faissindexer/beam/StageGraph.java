package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.RowlessStage;
import io.faissindexer.stages.StageOutcome;
import io.faissindexer.stages.StagePlan;
import java.io.IOException;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.coders.VarIntCoder;
import org.apache.beam.sdk.coders.VarLongCoder;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.GroupByKey;
import org.apache.beam.sdk.transforms.Keys;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Reshuffle;
import org.apache.beam.sdk.transforms.Sample;
import org.apache.beam.sdk.transforms.SerializableFunction;
import org.apache.beam.sdk.transforms.Sum;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.transforms.WithKeys;
import org.apache.beam.sdk.transforms.windowing.GlobalWindows;
import org.apache.beam.sdk.transforms.windowing.Window;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TypeDescriptor;
import org.apache.beam.sdk.values.TypeDescriptors;

/**
 * The stages of a build, one behind the other, of all groups at once; rows that are not grouped are one group. What the
 * stages of a group have come to so far is one element, which is grouped with the outcomes of the next stage, so that a
 * stage has ended everywhere before another begins. Only a stage itself is a side input, of its own rows or tasks: a
 * step that waited for side inputs from the first moment on would keep the DirectRunner busy with asking whether they
 * are there.
 */
final class StageGraph {
    /** For rows of which nothing is kept. */
    static final Release NOTHING_TO_RELEASE = options -> { };
    private static final Coder<KV<String, Serializable>> GATHERED =
            KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(Serializable.class));
    private static final Coder<KV<KV<String, Integer>, Long>> COUNTED =
            KvCoder.of(KvCoder.of(StringUtf8Coder.of(), VarIntCoder.of()), VarLongCoder.of());

    private final Pipeline pipeline;
    private final Rows rows;
    private final BeamBuild build;
    private final Release release;

    /** The graph of a build that is not there yet. */
    StageGraph(Pipeline pipeline, Rows rows, BeamBuild build, Release release) {
        this.pipeline = pipeline;
        this.rows = rows;
        this.build = build;
        this.release = release;
    }

    /** Adds the graph to the pipeline. */
    PCollection<IndexReceipt> build() {
        PCollection<KV<String, StagesSoFar>> begun = begun();
        PCollection<KV<String, StagesSoFar>> sampled = onEveryPartition(
                "sample", begun, StagesSoFar::sample, PartitionStageFn::forAllGroups, StagesSoFar::sampled);
        PCollection<KV<String, StagesSoFar>> planned = onEveryPartition("sample again", sampled,
                StagesSoFar::sample, PartitionStageFn::forSomeGroups, StagesSoFar::sampledAgain);
        PCollection<KV<String, StagesSoFar>> trained =
                inTasks("train", planned, plan -> 1, RowlessStageFn::required, StagesSoFar::after);
        PCollection<KV<String, StagesSoFar>> encoded = onEveryPartition(
                "encode", trained, StagesSoFar::encode, PartitionStageFn::forAllGroups, StagesSoFar::after);
        PCollection<KV<String, StagesSoFar>> merged =
                inTasks("merge", encoded, StagePlan::mergeTasks, RowlessStageFn::required, StagesSoFar::after);
        PCollection<KV<String, StagesSoFar>> assembled =
                inTasks("assemble", merged, StagePlan::assembleTasks, RowlessStageFn::required, StagesSoFar::after);
        PCollection<KV<String, StagesSoFar>> evaluated = inTasks("evaluate", assembled,
                plan -> plan.evaluates() ? 1 : 0, RowlessStageFn::dispensable, StagesSoFar::measured);
        return together("receipts", publishable(evaluated).apply("publish",
                        MapElements.into(TypeDescriptor.of(IndexReceipt.class)).via(at -> at.getValue().publish())))
                .apply("end", ParDo.of(new EndFn(build, release)));
    }

    private PCollection<KV<String, StagesSoFar>> begun() {
        BeamBuild begin = build;
        PCollection<Integer> zero = pipeline.apply("begin", Create.of(0));
        PCollection<KV<KV<String, Integer>, Long>> counts;
        if (!begin.isGrouped() && begin.spec().dimension().isPresent()) {
            int dimension = begin.spec().dimension().getAsInt();
            counts = zero.apply("dimension", MapElements.into(new TypeDescriptor<KV<KV<String, Integer>, Long>>() { })
                    .via(none -> KV.of(KV.of(EmbeddingSource.ALL_ROWS, dimension), 1L)))
                    .setCoder(COUNTED);
        } else {
            PCollection<KV<KV<String, Integer>, Long>> found = rows.forStage("count", () -> zero)
                    .apply("count in one window", Window.into(new GlobalWindows()))
                    .apply("count", ParDo.of(new EmbeddingCountFn()))
                    .setCoder(COUNTED)
                    .apply("sum", Sum.longsPerKey());
            // Something is to be said of an input without rows, too.
            PCollection<KV<KV<String, Integer>, Long>> none = zero
                    .apply("none", MapElements.into(new TypeDescriptor<KV<KV<String, Integer>, Long>>() { })
                            .via(no -> KV.of(KV.of(EmbeddingSource.ALL_ROWS, 0), 0L)))
                    .setCoder(COUNTED);
            counts = PCollectionList.of(found).and(none).apply("counts or none", Flatten.pCollections());
        }
        return together("groups", counts)
                .apply("specs", FlatMapElements.into(new TypeDescriptor<KV<String, IndexSpec>>() { })
                        .via(all -> begin.begin(all.getValue()).entrySet().stream()
                                .map(spec -> KV.of(spec.getKey(), spec.getValue()))
                                .collect(Collectors.toList())))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(IndexSpec.class)))
                .apply("start", MapElements.into(new TypeDescriptor<KV<String, StagesSoFar>>() { })
                        .via(group -> KV.of(group.getKey(), StagesSoFar.begin(
                                begin.name(), group.getValue(), begin.directory(group.getKey())))))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(StagesSoFar.class)));
    }

    private PCollection<KV<String, StagesSoFar>> onEveryPartition(
            String name,
            PCollection<KV<String, StagesSoFar>> soFar,
            SerializableFunction<StagesSoFar, List<PartitionStage>> stageOf,
            Function<PCollectionView<Map<String, PartitionStage>>, PartitionStageFn> workOf,
            Next<StageOutcome> next) {
        PCollection<KV<String, PartitionStage>> stages = soFar
                .apply(name + " stage", FlatMapElements.into(new TypeDescriptor<KV<String, PartitionStage>>() { })
                        .via(at -> stageOf.apply(at.getValue()).stream()
                                .map(stage -> KV.of(at.getKey(), stage))
                                .collect(Collectors.toList())))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(PartitionStage.class)));
        PCollectionView<Map<String, PartitionStage>> view = stages.apply(name + " view", View.asMap());
        PCollection<KV<String, StageOutcome>> outcomes = rows
                // Of all groups' stages one element, for rows are read once for all of them.
                .forStage(name, () -> stages
                        .apply(name + " groups", Keys.create())
                        .apply(name + " one", Sample.any(1))
                        .apply(name + " begins", MapElements.into(TypeDescriptors.integers()).via(begun -> 0)))
                .apply(name + " in one window", Window.into(new GlobalWindows()))
                .apply(name, ParDo.of(workOf.apply(view)).withSideInputs(view));
        return gathered(name, soFar, outcomes, next);
    }

    private static PCollection<KV<String, StagesSoFar>> inTasks(
            String name,
            PCollection<KV<String, StagesSoFar>> soFar,
            TaskNumber tasks,
            Function<PCollectionView<Map<String, RowlessStage>>, RowlessStageFn> workOf,
            Next<StageOutcome> next) {
        PCollectionView<Map<String, RowlessStage>> view = soFar
                .apply(name + " stage", MapElements.into(new TypeDescriptor<KV<String, RowlessStage>>() { })
                        .via(at -> KV.of(at.getKey(), at.getValue().rowless(name))))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(RowlessStage.class)))
                .apply(name + " view", View.asMap());
        PCollection<KV<String, StageOutcome>> outcomes = soFar
                .apply(name + " tasks", FlatMapElements.into(new TypeDescriptor<KV<String, Integer>>() { })
                        .via(at -> IntStream.range(0, tasks.of(at.getValue().plan()))
                                .mapToObj(task -> KV.of(at.getKey(), task))
                                .collect(Collectors.toList())))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), VarIntCoder.of()))
                .apply(name + " spread", Reshuffle.viaRandomKey())
                .apply(name, ParDo.of(workOf.apply(view)).withSideInputs(view));
        return gathered(name, soFar, outcomes, next);
    }

    /** Every group, once all can be published. */
    private PCollection<KV<String, StagesSoFar>> publishable(PCollection<KV<String, StagesSoFar>> evaluated) {
        if (!build.isGrouped()) {
            return evaluated;
        }
        BeamBuild published = build;
        PCollection<KV<String, Boolean>> announced =
                together("names", evaluated.apply("names", Keys.create()))
                        .apply("announce", FlatMapElements.into(new TypeDescriptor<KV<String, Boolean>>() { })
                                .via(all -> published.publishGroups(all.getValue()).stream()
                                        .map(group -> KV.of(group, true))
                                        .collect(Collectors.toList())));
        return gathered("announce", evaluated, announced, (before, trues) -> before);
    }

    /** One element again for each group, once the stage has ended everywhere. */
    private static <T extends Serializable> PCollection<KV<String, StagesSoFar>> gathered(
            String name, PCollection<KV<String, StagesSoFar>> soFar, PCollection<KV<String, T>> made, Next<T> next) {
        return PCollectionList.of(serializable(name + " before", soFar)).and(serializable(name + " outcomes", made))
                .apply(name + " all", Flatten.pCollections())
                .apply(name + " gathered", GroupByKey.create())
                .apply(name + " done", MapElements.into(new TypeDescriptor<KV<String, StagesSoFar>>() { })
                        .via(group -> KV.of(group.getKey(), next(group.getKey(), group.getValue(), next))))
                .setCoder(KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(StagesSoFar.class)));
    }

    @SuppressWarnings("unchecked")
    private static <T extends Serializable> StagesSoFar next(
            String group, Iterable<Serializable> elements, Next<T> next) {
        StagesSoFar before = null;
        List<T> made = new ArrayList<>();
        for (Serializable element : elements) {
            if (element instanceof StagesSoFar) {
                before = (StagesSoFar) element;
            } else {
                made.add((T) element);
            }
        }
        try {
            return next.after(before, made);
        } catch (FaissIndexException failure) {
            if (group.equals(EmbeddingSource.ALL_ROWS)) {
                throw failure;
            }
            throw new FaissIndexException(
                    failure.kind(), "the group '" + group + "': " + failure.getMessage(), failure);
        }
    }

    private static <T extends Serializable> PCollection<KV<String, Serializable>> serializable(
            String name, PCollection<KV<String, T>> elements) {
        return elements
                .apply(name, MapElements.into(new TypeDescriptor<KV<String, Serializable>>() { })
                        .via(element -> KV.of(element.getKey(), element.getValue())))
                .setCoder(GATHERED);
    }

    /** All elements under one key; of what is small only. */
    private static <T> PCollection<KV<Integer, Iterable<T>>> together(String name, PCollection<T> elements) {
        return elements
                .apply(name + " under one key", WithKeys.of(0))
                .setCoder(KvCoder.of(VarIntCoder.of(), elements.getCoder()))
                .apply(name + " together", GroupByKey.create());
    }

    /** All rows, by group. */
    interface Rows {
        /** The rows for a stage, which may be read once the other collection has an element. */
        PCollection<KV<String, KV<Long, float[]>>> forStage(String name, Supplier<PCollection<Integer>> begins);
    }

    /** Deletes what was kept of the rows for the stages. */
    interface Release extends Serializable {
        void release(PipelineOptions options) throws IOException, InterruptedException;
    }

    private interface Next<T> extends Serializable {
        StagesSoFar after(StagesSoFar before, List<T> outcomes);
    }

    private interface TaskNumber extends Serializable {
        int of(StagePlan plan);
    }
}
