package io.faissindexer.beam;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.options.PipelineOptions;
import org.apache.beam.sdk.runners.AppliedPTransform;
import org.apache.beam.sdk.runners.PTransformOverride;
import org.apache.beam.sdk.runners.PTransformOverrideFactory;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.DoFnOutputReceivers;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.MapElements;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.reflect.DoFnInvoker;
import org.apache.beam.sdk.transforms.reflect.DoFnInvokers;
import org.apache.beam.sdk.transforms.windowing.BoundedWindow;
import org.apache.beam.sdk.transforms.windowing.PaneInfo;
import org.apache.beam.sdk.util.SerializableUtils;
import org.apache.beam.sdk.util.construction.PTransformReplacements;
import org.apache.beam.sdk.util.construction.ReplacementOutputs;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.PCollectionView;
import org.apache.beam.sdk.values.TupleTag;
import org.joda.time.Instant;

/** Has every step of a pipeline that is ours do its work twice to the end, of which one attempt counts. */
final class RepeatedBundles {
    private static final Set<String> LOST = ConcurrentHashMap.newKeySet();
    private static final Set<String> REPEATED = ConcurrentHashMap.newKeySet();

    private final String run = UUID.randomUUID().toString();

    /** Changes the steps of a pipeline, which has yet to run. */
    RepeatedBundles(Pipeline pipeline, Attempts attempts) {
        pipeline.replaceAll(List.of(PTransformOverride.of(
                applied -> applied.getTransform() instanceof ParDo.MultiOutput
                        && isOurs(((ParDo.MultiOutput<?, ?>) applied.getTransform()).getFn()),
                new Factory<>(run, attempts))));
    }

    /** The steps that have done their work twice, by their names in the build. */
    Set<String> repeated() {
        Set<String> steps = new TreeSet<>();
        for (String step : REPEATED) {
            if (step.startsWith(run)) {
                steps.add(step.split("/")[2]);
            }
        }
        return steps;
    }

    private static boolean isOurs(DoFn<?, ?> fn) {
        String declaring = fn.getClass().getName().replaceAll("\\$.*", "");
        return !(fn instanceof RepeatingFn) && (fn.getClass().getPackage() == RepeatedBundles.class.getPackage()
                || declaring.equals(MapElements.class.getName())
                || declaring.equals(FlatMapElements.class.getName()));
    }

    /** What a runner makes of two attempts. */
    enum Attempts {
        /** Both run side by side, and the outcome of the first is committed. */
        FIRST_COUNTS,
        /** Both run side by side, and the outcome of the second is committed. */
        SECOND_COUNTS,
        /** The first has done everything when the runner loses it, and tries again. */
        FIRST_IS_LOST
    }

    private static final class Factory<InputT, OutputT> implements PTransformOverrideFactory<
            PCollection<? extends InputT>, PCollectionTuple, ParDo.MultiOutput<InputT, OutputT>> {
        private final String run;
        private final Attempts attempts;

        Factory(String run, Attempts attempts) {
            this.run = run;
            this.attempts = attempts;
        }

        @Override
        public PTransformReplacement<PCollection<? extends InputT>, PCollectionTuple> getReplacementTransform(
                AppliedPTransform<PCollection<? extends InputT>, PCollectionTuple, ParDo.MultiOutput<InputT, OutputT>>
                        applied) {
            ParDo.MultiOutput<InputT, OutputT> original = applied.getTransform();
            String step = run + "/" + applied.getFullName();
            return PTransformReplacement.of(
                    PTransformReplacements.getSingletonMainInput(applied),
                    ParDo.of(new RepeatingFn<>(step, original.getFn(), attempts))
                            .withSideInputs(original.getSideInputs())
                            .withOutputTags(original.getMainOutputTag(), original.getAdditionalOutputTags()));
        }

        @Override
        public Map<PCollection<?>, ReplacementOutput> mapOutputs(
                Map<TupleTag<?>, PCollection<?>> outputs, PCollectionTuple replaced) {
            return ReplacementOutputs.tagged(outputs, replaced);
        }
    }

    private static final class RepeatingFn<InputT, OutputT> extends DoFn<InputT, OutputT> {
        private static final long serialVersionUID = 1L;

        private final String step;
        private final DoFn<InputT, OutputT> original;
        private final Attempts kind;
        private transient List<Attempt<InputT, OutputT>> attempts;

        RepeatingFn(String step, DoFn<InputT, OutputT> original, Attempts kind) {
            this.step = step;
            this.original = original;
            this.kind = kind;
        }

        @Setup
        public void setUp(PipelineOptions options) {
            attempts = new ArrayList<>();
            attempts.add(new Attempt<>(original, options, kind != Attempts.SECOND_COUNTS));
            if (kind != Attempts.FIRST_IS_LOST) {
                attempts.add(new Attempt<>(original, options, kind == Attempts.SECOND_COUNTS));
            }
        }

        @StartBundle
        public void begin(StartBundleContext context) {
            attempts.forEach(attempt -> attempt.begin(context));
        }

        @ProcessElement
        public void process(ProcessContext context) {
            attempts.forEach(attempt -> attempt.process(context));
        }

        @FinishBundle
        public void finish(FinishBundleContext context) {
            attempts.forEach(attempt -> attempt.finish(context));
            if (kind == Attempts.FIRST_IS_LOST && LOST.add(step)) {
                throw new IllegalStateException("the runner loses what was done in " + step);
            }
            REPEATED.add(step);
        }

        @Teardown
        public void tearDown() {
            attempts.forEach(Attempt::tearDown);
        }
    }

    /** A copy of a function, and whether what it puts out goes on. */
    private static final class Attempt<InputT, OutputT> {
        private final DoFn<InputT, OutputT> fn;
        private final DoFnInvoker<InputT, OutputT> invoker;
        private final PipelineOptions options;
        private final boolean counts;

        Attempt(DoFn<InputT, OutputT> original, PipelineOptions options, boolean counts) {
            fn = SerializableUtils.clone(original);
            invoker = DoFnInvokers.tryInvokeSetupFor(fn, options);
            this.options = options;
            this.counts = counts;
        }

        void begin(DoFn<InputT, OutputT>.StartBundleContext context) {
            invoker.invokeStartBundle(new Arguments<InputT, OutputT>(options) {
                @Override
                public DoFn<InputT, OutputT>.StartBundleContext startBundleContext(DoFn<InputT, OutputT> asking) {
                    return context;
                }
            });
        }

        void process(DoFn<InputT, OutputT>.ProcessContext context) {
            DoFn<InputT, OutputT>.ProcessContext given = counts ? context : new LostProcess<>(fn, context);
            invoker.invokeProcessElement(new Arguments<InputT, OutputT>(options) {
                @Override
                public DoFn<InputT, OutputT>.ProcessContext processContext(DoFn<InputT, OutputT> asking) {
                    return given;
                }

                @Override
                public InputT element(DoFn<InputT, OutputT> asking) {
                    return given.element();
                }

                @Override
                public DoFn.OutputReceiver<OutputT> outputReceiver(DoFn<InputT, OutputT> asking) {
                    return DoFnOutputReceivers.windowedReceiver(given, null);
                }
            });
        }

        void finish(DoFn<InputT, OutputT>.FinishBundleContext context) {
            DoFn<InputT, OutputT>.FinishBundleContext given = counts ? context : new LostFinish<>(fn, options);
            invoker.invokeFinishBundle(new Arguments<InputT, OutputT>(options) {
                @Override
                public DoFn<InputT, OutputT>.FinishBundleContext finishBundleContext(DoFn<InputT, OutputT> asking) {
                    return given;
                }
            });
        }

        void tearDown() {
            invoker.invokeTeardown();
        }
    }

    /** What steps of ours ask for. */
    private abstract static class Arguments<InputT, OutputT>
            extends DoFnInvoker.BaseArgumentProvider<InputT, OutputT> {
        private final PipelineOptions options;

        Arguments(PipelineOptions options) {
            this.options = options;
        }

        @Override
        public PipelineOptions pipelineOptions() {
            return options;
        }

        @Override
        public String getErrorContext() {
            return "an attempt";
        }
    }

    /** Lets nothing out. */
    private static final class LostProcess<InputT, OutputT> extends DoFn<InputT, OutputT>.ProcessContext {
        private final DoFn<InputT, OutputT>.ProcessContext given;

        LostProcess(DoFn<InputT, OutputT> fn, DoFn<InputT, OutputT>.ProcessContext given) {
            fn.super();
            this.given = given;
        }

        @Override
        public InputT element() {
            return given.element();
        }

        @Override
        public <T> T sideInput(PCollectionView<T> view) {
            return given.sideInput(view);
        }

        @Override
        public Instant timestamp() {
            return given.timestamp();
        }

        @Override
        public PaneInfo pane() {
            return given.pane();
        }

        @Override
        public PipelineOptions getPipelineOptions() {
            return given.getPipelineOptions();
        }

        @Override
        public void output(OutputT output) {
        }

        @Override
        public void outputWithTimestamp(OutputT output, Instant timestamp) {
        }

        @Override
        public void outputWindowedValue(
                OutputT output, Instant timestamp, Collection<? extends BoundedWindow> windows, PaneInfo pane) {
        }

        @Override
        public <T> void output(TupleTag<T> tag, T output) {
        }

        @Override
        public <T> void outputWithTimestamp(TupleTag<T> tag, T output, Instant timestamp) {
        }

        @Override
        public <T> void outputWindowedValue(
                TupleTag<T> tag,
                T output,
                Instant timestamp,
                Collection<? extends BoundedWindow> windows,
                PaneInfo pane) {
        }
    }

    /** Lets nothing out. */
    private static final class LostFinish<InputT, OutputT> extends DoFn<InputT, OutputT>.FinishBundleContext {
        private final PipelineOptions options;

        LostFinish(DoFn<InputT, OutputT> fn, PipelineOptions options) {
            fn.super();
            this.options = options;
        }

        @Override
        public PipelineOptions getPipelineOptions() {
            return options;
        }

        @Override
        public void output(OutputT output, Instant timestamp, BoundedWindow window) {
        }

        @Override
        public <T> void output(TupleTag<T> tag, T output, Instant timestamp, BoundedWindow window) {
        }
    }
}
