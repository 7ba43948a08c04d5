package io.faissindexer.internal;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.nio.file.attribute.PosixFilePermissions;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class PrivateDirectoryTest {
    private static final String RESOURCE = "/io/faissindexer/version.txt";

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private Path held() throws IOException {
        return PrivateDirectory.below(folder.getRoot().toPath()).holding(Resource.named(RESOURCE), "a.so");
    }

    @Test
    public void theDirectoryIsOpenToItsOwnerOnly() throws IOException {
        Path directory = held().getParent();
        assertEquals("rwx------", PosixFilePermissions.toString(Files.getPosixFilePermissions(directory)));
    }

    @Test
    public void aFileWithTheRightBytesIsUsedAgain() throws IOException {
        Path file = held();
        FileTime longAgo = FileTime.fromMillis(0);
        Files.setLastModifiedTime(file, longAgo);
        assertEquals(file, held());
        assertEquals(longAgo, Files.getLastModifiedTime(file));
    }

    @Test
    public void aFileWithOtherBytesIsReplaced() throws IOException {
        Path file = held();
        byte[] right = Files.readAllBytes(file);
        Files.write(file, new byte[] {1, 2, 3});
        assertArrayEquals(right, Files.readAllBytes(held()));
        assertEquals("no drafts are left", 1, file.getParent().toFile().list().length);
    }

    @Test
    public void aCopyIsAFileOfItsOwn() throws IOException {
        Path copy = PrivateDirectory.below(folder.getRoot().toPath()).copyOf(Resource.named(RESOURCE), "a.so");
        assertNotEquals(copy, held());
        assertArrayEquals(Files.readAllBytes(held()), Files.readAllBytes(copy));
    }

    @Test
    public void aDirectoryThatOthersMayEnterIsRefused() throws IOException {
        Path directory = held().getParent();
        Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxrwxrwx"));
        IOException refused = assertThrows(IOException.class, this::held);
        assertTrue(refused.getMessage(), refused.getMessage().contains("open to other users"));
    }

    @Test
    public void aLinkInPlaceOfTheDirectoryIsRefused() throws IOException {
        Path directory = held().getParent();
        Path elsewhere = folder.newFolder().toPath();
        Files.move(directory, elsewhere.resolve("moved"));
        Files.createSymbolicLink(directory, elsewhere.resolve("moved"));
        assertThrows(IOException.class, this::held);
    }
}
