package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.PartitionStage;
import io.faissindexer.stages.StageOutcome;
import java.util.Map;
import java.util.function.Function;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.SerializableCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.testing.PAssert;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.View;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionView;
import org.junit.Test;

/** A row of a group that has no stage. */
public class PartitionStageTest {
    private static PCollection<KV<String, StageOutcome>> outcomes(
            Pipeline pipeline, Function<PCollectionView<Map<String, PartitionStage>>, PartitionStageFn> workOf) {
        PCollectionView<Map<String, PartitionStage>> none = pipeline
                .apply("none", Create.empty(
                        KvCoder.of(StringUtf8Coder.of(), SerializableCoder.of(PartitionStage.class))))
                .apply(View.asMap());
        return pipeline
                .apply("rows", Create.of(KV.of("late", KV.of(1L, new float[] {1, 2})))
                        .withCoder(FloatArrayCoder.ofGroupedRows()))
                .apply(ParDo.of(workOf.apply(none)).withSideInputs(none));
    }

    @Test
    public void aGroupThatNeedsNoStageHasNoOutcome() {
        Pipeline pipeline = Pipeline.create();
        PAssert.that(outcomes(pipeline, PartitionStageFn::forSomeGroups)).empty();
        pipeline.run().waitUntilFinish();
    }

    @Test
    public void aGroupThatWasNotThereWhenRowsWereCountedFailsByName() {
        Pipeline pipeline = Pipeline.create();
        outcomes(pipeline, PartitionStageFn::forAllGroups);
        Throwable failure = assertThrows(RuntimeException.class, () -> pipeline.run().waitUntilFinish()).getCause();
        assertEquals(FaissIndexException.class, failure.getClass());
        assertEquals(Kind.BAD_ROWS, ((FaissIndexException) failure).kind());
        assertTrue(failure.getMessage(), failure.getMessage().contains("the group 'late': "));
        assertTrue(failure.getMessage(), failure.getMessage().contains("the input has changed"));
    }
}
