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
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** How far a build has come: what travels from one stage of the graph to the next. */
final class StagesSoFar implements Serializable {
    private static final long serialVersionUID = 1L;
    private static final Logger LOG = LoggerFactory.getLogger(StagesSoFar.class);

    private final StagedBuild build;
    private final StagePlan plan;
    private final ArrayList<StageOutcome> samples;
    private final ArrayList<StageOutcome> later;

    private StagesSoFar(StagedBuild build, StagePlan plan, List<StageOutcome> samples, List<StageOutcome> later) {
        this.build = build;
        this.plan = plan;
        this.samples = new ArrayList<>(samples);
        this.later = new ArrayList<>(later);
    }

    /** Before the first stage; the build begins. */
    static StagesSoFar begin(String name, IndexSpec spec, String output) {
        StagedBuild build = StagesAtWork.ofProcess().during(
                name, () -> StagedBuild.start(name, spec, output, new BeamFiles(output)));
        return new StagesSoFar(build, null, Collections.emptyList(), Collections.emptyList());
    }

    /** After the first sample, by which it is planned what follows. */
    StagesSoFar sampled(List<StageOutcome> outcomes) {
        StagePlan next = build.plan(outcomes);
        next.notes().forEach(LOG::info);
        return new StagesSoFar(next.build(), next, outcomes, later);
    }

    /** After the second sample, if there was one: rows are counted, so only by rare chance it is too small again. */
    StagesSoFar sampledAgain(List<StageOutcome> outcomes) {
        if (!plan.resamples()) {
            return this;
        }
        StagesSoFar next = sampled(outcomes);
        if (next.plan.resamples()) {
            throw new FaissIndexException(Kind.TOO_FEW_ROWS,
                    "by chance, too few rows were sampled twice; another seed or a higher sample rate helps");
        }
        return next;
    }

    /** After any other stage. */
    StagesSoFar after(List<StageOutcome> outcomes) {
        outcomes.forEach(StageOutcome::requireDone);
        List<StageOutcome> all = new ArrayList<>(later);
        all.addAll(outcomes);
        return new StagesSoFar(build, plan, samples, all);
    }

    /** After the stage {@code evaluate}; that an index cannot be measured, as for want of memory, does not lose it. */
    StagesSoFar measured(List<StageOutcome> outcomes) {
        StageMetrics.begun(StageMetrics.PUBLISH);
        try {
            return after(outcomes);
        } catch (FaissIndexException failure) {
            LOG.warn("the index was not measured: {}", failure.getMessage());
            return this;
        }
    }

    /** The stage that samples; for the second time, only where the first did not do. */
    List<PartitionStage> sample() {
        return plan == null || plan.resamples()
                ? Collections.singletonList(partitionStage("sample", Collections.emptyList()))
                : Collections.emptyList();
    }

    /** The stage that encodes. */
    List<PartitionStage> encode() {
        return Collections.singletonList(partitionStage("encode", later));
    }

    /** A stage without rows: the first goes by the samples, all others by what came after. */
    RowlessStage rowless(String name) {
        StageMetrics.begun(name);
        return build.rowlessStage(name, later.isEmpty() ? samples : later);
    }

    StagePlan plan() {
        return plan;
    }

    IndexReceipt publish() {
        List<StageOutcome> all = new ArrayList<>(samples);
        all.addAll(later);
        return StagesAtWork.ofProcess().during(build.name(), () -> build.publish(all));
    }

    private PartitionStage partitionStage(String name, List<StageOutcome> earlier) {
        StageMetrics.begun(name);
        return build.partitionStage(name, earlier);
    }
}
