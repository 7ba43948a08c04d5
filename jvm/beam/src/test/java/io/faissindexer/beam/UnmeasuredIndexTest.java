package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.ReferenceBuild;
import java.util.Set;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.transforms.Create;
import org.junit.Test;

public class UnmeasuredIndexTest {
    private static final String OUTPUT = "store://bucket/unmeasured";

    @Test
    public void anIndexIsNotLostWhenItCannotBeMeasuredAndNothingIsTriedAgain() {
        BuildFaissIndex build = RepeatedBundlesTest.build(OUTPUT);
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(Create.of(ReferenceRows.all()).withCoder(FloatArrayCoder.ofRows())).apply(build);
        ObjectStore.failReadingOnce("-truth-");
        pipeline.run().waitUntilFinish();
        assertEquals("files that nobody read", Set.of(), ObjectStore.failingToRead());
        assertEquals(ReferenceBuild.CRC32C, build.receipt().crc32c());
        assertTrue(ObjectStore.names(OUTPUT).contains("_SUCCESS"));
    }
}
