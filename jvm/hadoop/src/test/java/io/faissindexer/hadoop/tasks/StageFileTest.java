package io.faissindexer.hadoop.tasks;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.IOException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.CommonConfigurationKeys;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class StageFileTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final Configuration configuration = new Configuration();

    private Path file() {
        return new Path(new Path(folder.getRoot().toURI()), "_temporary/stage");
    }

    @Test
    public void nobodyButTheUserMayReadAStageWhateverTheUmaskSays() throws Exception {
        configuration.set(CommonConfigurationKeys.FS_PERMISSIONS_UMASK_KEY, "000");
        StageFile.write("a stage", file(), configuration);
        FsPermission permission =
                file().getFileSystem(configuration).getFileStatus(file()).getPermission();
        assertEquals(new FsPermission((short) 0600), permission);
        assertEquals("a stage", StageFile.read(file(), configuration));
    }

    @Test
    public void aFileThatIsThereIsNotReplaced() throws Exception {
        StageFile.write("a stage", file(), configuration);
        assertThrows(IOException.class, () -> StageFile.write("another", file(), configuration));
        assertEquals("a stage", StageFile.read(file(), configuration));
    }
}
