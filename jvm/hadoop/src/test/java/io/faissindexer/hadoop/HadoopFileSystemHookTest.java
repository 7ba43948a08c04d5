package io.faissindexer.hadoop;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import io.faissindexer.storage.FileSystemHook;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.EOFException;
import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileAlreadyExistsException;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.junit.After;
import org.junit.Before;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class HadoopFileSystemHookTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final FileSystemHook hook = new HadoopFileSystemHook(new Configuration());
    private String root;

    @Before
    public void qualifyRoot() throws IOException {
        root = HadoopFileSystemHook.qualify(folder.getRoot().getPath(), new Configuration());
    }

    @After
    public void closeHook() throws IOException {
        hook.close();
    }

    private String write(String name, String text, boolean overwrite) throws IOException {
        String uri = root + "/" + name;
        long stream = hook.create(uri, overwrite);
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        byte[] padded = Arrays.copyOf(bytes, bytes.length + 5);
        hook.write(stream, padded, bytes.length);
        hook.closeStream(stream);
        return uri;
    }

    private String read(String uri) throws IOException {
        byte[] bytes = new byte[(int) hook.status(uri)[0]];
        long stream = hook.openForReading(uri);
        hook.readFully(stream, 0, bytes, bytes.length);
        hook.closeStream(stream);
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Test
    public void aWrittenFileIsReadBackFromAnyPosition() throws IOException {
        String uri = write("below/several/directories", "0123456789", false);
        assertEquals("0123456789", read(uri));
        byte[] buffer = new byte[4];
        long stream = hook.openForReading(uri);
        hook.readFully(stream, 7, buffer, 2);
        assertArrayEquals(new byte[] {'7', '8', 0, 0}, buffer);
        assertThrows(EOFException.class, () -> hook.readFully(stream, 7, buffer, 4));
        hook.closeStream(stream);
    }

    @Test
    public void statusTellsFilesDirectoriesAndNothingApart() throws IOException {
        assertArrayEquals(new long[] {3, 0}, hook.status(write("file", "abc", false)));
        assertEquals(1, hook.status(root)[1]);
        assertNull(hook.status(root + "/missing"));
    }

    @Test
    public void aListHasTheFullNamesOfChildrenOnly() throws IOException {
        String file = write("directory/a", "", false);
        write("directory/b/c", "", false);
        String[] children = hook.list(root + "/directory");
        Arrays.sort(children);
        assertArrayEquals(new String[] {file, root + "/directory/b"}, children);
        assertEquals(0, hook.list(root + "/missing").length);
    }

    @Test
    public void anExistingFileIsReplacedOnlyWhenAskedFor() throws IOException {
        String uri = write("file", "old", false);
        assertThrows(FileAlreadyExistsException.class, () -> write("file", "new", false));
        assertEquals("old", read(uri));
        assertEquals("new", read(write("file", "new", true)));
    }

    @Test
    public void anAbortedFileIsGone() throws IOException {
        String uri = root + "/draft";
        long stream = hook.create(uri, false);
        hook.write(stream, new byte[100], 100);
        hook.abortStream(stream);
        assertNull(hook.status(uri));
        assertThrows(IOException.class, () -> hook.write(stream, new byte[1], 1));
    }

    @Test
    public void closingTheHookAbortsWhatIsOpen() throws IOException {
        String complete = write("complete", "abc", false);
        hook.openForReading(complete);
        hook.create(root + "/draft", false);
        hook.close();
        assertNull(hook.status(root + "/draft"));
        assertEquals("abc", read(complete));
    }

    @Test
    public void aRenameReplacesItsTarget() throws IOException {
        String from = write("from", "new", false);
        String to = write("to", "old", false);
        hook.rename(from, to);
        assertEquals("new", read(to));
        assertNull(hook.status(from));
    }

    @Test
    public void aRenameInTwoStepsReplacesItsTargetToo() throws IOException {
        Path from = new Path(write("from", "new", false));
        Path to = new Path(write("to", "old", false));
        FileSystem fileSystem = from.getFileSystem(new Configuration());
        Replacement.renameInTwoSteps(fileSystem, from, to);
        assertEquals("new", read(to.toString()));
        assertThrows(FileNotFoundException.class, () -> Replacement.renameInTwoSteps(fileSystem, from, to));
        assertEquals("a missing source costs nothing", "new", read(to.toString()));
    }

    @Test
    public void deletingTakesEverythingBelowAndSaysWhetherThereWasAnything() throws IOException {
        write("directory/a/b", "", false);
        assertTrue(hook.delete(root + "/directory"));
        assertFalse(hook.delete(root + "/directory"));
        assertFalse(new File(folder.getRoot(), "directory").exists());
    }

    @Test
    public void directoriesAreCreatedOnceAndAgain() throws IOException {
        hook.makeDirectories(root + "/x/y");
        hook.makeDirectories(root + "/x/y");
        assertEquals(1, hook.status(root + "/x/y")[1]);
        String file = write("file", "", false);
        assertThrows(IOException.class, () -> hook.makeDirectories(file + "/below"));
    }

    @Test
    public void pathsWithoutASchemeBelongToTheDefaultFileSystem() throws IOException {
        assertEquals("file:/a/b", HadoopFileSystemHook.qualify("/a/b", new Configuration()));
        assertTrue(HadoopFileSystemHook.qualify("b", new Configuration()).startsWith("file:/"));
        assertThrows(IOException.class, () -> HadoopFileSystemHook.qualify("", new Configuration()));
        assertThrows(IOException.class, () -> HadoopFileSystemHook.qualify("nowhere://a/b", new Configuration()));
    }

    @Test
    public void anOutputThatNoFileSystemHasIsAUsageError() {
        assertEquals("file:/a/b", HadoopFileSystemHook.qualifyOutput("/a/b", new Configuration()));
        for (String nowhere : new String[] {"", "nowhere://a/b", "hdfs://nowhere.invalid/a", "hdfs:///a"}) {
            FaissIndexException failure = assertThrows(nowhere, FaissIndexException.class,
                    () -> HadoopFileSystemHook.qualifyOutput(nowhere, new Configuration()));
            assertEquals(nowhere, FaissIndexException.Kind.INVALID_SPEC, failure.kind());
            String message = failure.getMessage();
            assertTrue(message, message.startsWith("the output directory '" + nowhere + "' cannot be used: "));
        }
    }

    /** Of a Hadoop that does not know the question yet. */
    public static final class OlderFileSystem extends LocalFileSystem {
        @Override
        public boolean hasPathCapability(Path path, String capability) {
            throw new NoSuchMethodError("hasPathCapability");
        }
    }

    @Test
    public void onAnOlderHadoopFilesAreNotExpectedToBeJoined() throws IOException {
        Configuration configuration = new Configuration();
        configuration.setClass("fs.file.impl", OlderFileSystem.class, FileSystem.class);
        configuration.setBoolean("fs.file.impl.disable.cache", true);
        try (FileSystemHook older = new HadoopFileSystemHook(configuration)) {
            assertFalse(older.canConcatenate(root));
        }
    }

    @Test
    public void aFactoryKeepsItsConfigurationOnTheWayToAWorker() throws Exception {
        Configuration configuration = new Configuration();
        configuration.set("fs.defaultFS", "nowhere://cluster");
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (ObjectOutputStream stream = new ObjectOutputStream(bytes)) {
            stream.writeObject(new HadoopFiles(configuration));
        }
        try (ObjectInputStream stream = new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()));
                FileSystemHook arrived = ((HadoopFiles) stream.readObject()).open()) {
            IOException refused = assertThrows(IOException.class, () -> arrived.status("/a"));
            assertTrue(refused.getMessage(), refused.getMessage().contains("nowhere"));
        }
    }
}
