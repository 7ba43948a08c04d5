package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.stages.StagedBuild;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.Test;

public class StagesAtWorkTest {
    @Test
    public void noStageOfABuildBeginsAfterItsFilesWereDeletedAndThoseOfOthersDo() {
        StagesAtWork stages = StagesAtWork.ofProcess();
        String abandoned = StagedBuild.newName();
        AtomicBoolean isDeleted = new AtomicBoolean();
        stages.without(abandoned, 0, () -> isDeleted.set(true));
        assertTrue(isDeleted.get());
        FaissIndexException refused = assertThrows(FaissIndexException.class, () -> stages.begin(abandoned));
        assertEquals(Kind.CANCELLED, refused.kind());
        assertEquals("done", stages.during(StagedBuild.newName(), () -> "done"));
    }
}
