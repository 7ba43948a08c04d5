package io.faissindexer.stages;

import static org.junit.Assert.assertEquals;

import io.faissindexer.FaissIndexer;
import io.faissindexer.IndexReceipt;
import io.faissindexer.ReferenceBuild;
import java.io.IOException;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class ReferenceBuildTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @Test
    public void theCoreAloneGivesTheBytesThatEveryEngineHasToGive() throws IOException {
        IndexReceipt receipt = FaissIndexer.build(
                ReferenceBuild.ROWS.partitions(3, 7), ReferenceBuild.spec(), folder.newFolder().getPath());
        assertEquals(ReferenceBuild.CRC32C, receipt.crc32c());
    }
}
