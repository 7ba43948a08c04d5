package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexSpec;
import java.util.List;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.junit.Test;

public class BeamFilesTest {
    @Test
    public void anOutputThatIsAPatternIsRefusedBeforeAnythingIsRead() {
        for (String output : List.of("gs://bucket/a*b", "s3://bucket/a?", "s3://bucket/[ab]/c", "gs://bucket/a\\b")) {
            BuildFaissIndex build = BuildFaissIndex.into(output, IndexSpec.builder().dimension(8).build());
            FaissIndexException refused = assertThrows(
                    output, FaissIndexException.class, () -> build.validate(PipelineOptionsFactory.create()));
            assertEquals(Kind.INVALID_SPEC, refused.kind());
            assertTrue(refused.getMessage(), refused.getMessage().contains(output));
        }
    }

    @Test
    public void namesOfDisksAndHdfsMayHaveWhatMakesAPatternElsewhere() {
        for (String output : List.of("/data/a*b", "file:///data/[ab]", "hdfs://node/a?")) {
            assertNull(output, new BeamFiles(output).open());
        }
        assertNotNull(new BeamFiles("gs://bucket/a{b}").open());
    }
}
