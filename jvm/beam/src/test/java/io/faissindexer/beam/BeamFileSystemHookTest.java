package io.faissindexer.beam;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import java.io.EOFException;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.Set;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;
import org.junit.runner.RunWith;
import org.junit.runners.Parameterized;

/** What the native library is promised of a file system, of Beam's own ones for object stores. */
@RunWith(Parameterized.class)
public class BeamFileSystemHookTest {
    private static final byte[] FEW_BYTES = "0123456789".getBytes(StandardCharsets.US_ASCII);
    /** More than is sent at once: for Amazon 64 MiB where there is memory for it. */
    private static final int MANY_BYTES = (64 << 20) + 12345;
    private static final int CHUNK = 1 << 20;

    @Rule
    public final Bucket bucket;

    private final BeamFileSystemHook hook = new BeamFileSystemHook();

    public BeamFileSystemHookTest(String scheme) {
        bucket = new Bucket(scheme);
    }

    @Parameterized.Parameters(name = "{0}")
    public static List<String> schemes() {
        return List.of(Bucket.IN_MEMORY, Bucket.GOOGLE, Bucket.AMAZON);
    }

    @After
    public void closeHook() throws IOException {
        hook.close();
    }

    private void write(String name, byte[] bytes, boolean overwrite) throws IOException {
        long stream = hook.create(bucket.uri(name), overwrite);
        for (int at = 0; at < bytes.length; at += CHUNK) {
            byte[] chunk = Arrays.copyOfRange(bytes, at, Math.min(bytes.length, at + CHUNK));
            hook.write(stream, chunk, chunk.length);
        }
        hook.closeStream(stream);
    }

    private void write(String... names) throws IOException {
        for (String name : names) {
            write(name, FEW_BYTES, false);
        }
    }

    private String read(long stream, long position, int length) throws IOException {
        byte[] bytes = new byte[length];
        hook.readFully(stream, position, bytes, length);
        return new String(bytes, StandardCharsets.US_ASCII);
    }

    private String[] uris(String... names) {
        return Arrays.stream(names).map(bucket::uri).toArray(String[]::new);
    }

    @Test
    public void anObjectIsThereWithItsLengthOnceItsStreamIsClosed() throws IOException {
        String uri = bucket.uri("out/object");
        assertNull(hook.status(uri));
        long stream = hook.create(uri, false);
        hook.write(stream, FEW_BYTES, FEW_BYTES.length);
        assertNull(hook.status(uri));
        hook.closeStream(stream);
        assertArrayEquals(new long[] {FEW_BYTES.length, 0}, hook.status(uri));
        assertArrayEquals(FEW_BYTES, bucket.get("out/object"));
    }

    @Test
    public void anObjectWithoutBytesIsThere() throws IOException {
        write("empty", new byte[0], false);
        assertArrayEquals(new long[] {0, 0}, hook.status(bucket.uri("empty")));
        long stream = hook.openForReading(bucket.uri("empty"));
        assertEquals("", read(stream, 0, 0));
        assertThrows(EOFException.class, () -> read(stream, 0, 1));
        hook.closeStream(stream);
    }

    @Test
    public void anObjectThatIsSentInPartsIsWhole() throws IOException {
        byte[] bytes = new byte[MANY_BYTES];
        new Random(1).nextBytes(bytes);
        write("many", bytes, false);
        assertArrayEquals(bytes, bucket.get("many"));
    }

    @Test
    public void rangesAreReadInAnyOrder() throws IOException {
        write("object");
        long stream = hook.openForReading(bucket.uri("object"));
        assertEquals("345", read(stream, 3, 3));
        assertEquals("67", read(stream, 6, 2));
        assertEquals("0123456789", read(stream, 0, 10));
        assertEquals("9", read(stream, 9, 1));
        assertEquals("", read(stream, 10, 0));
        hook.closeStream(stream);
    }

    @Test
    public void aRangeBeyondTheEndIsRefusedAndOthersStillRead() throws IOException {
        write("object");
        long stream = hook.openForReading(bucket.uri("object"));
        assertThrows(EOFException.class, () -> read(stream, 8, 3));
        assertThrows(EOFException.class, () -> read(stream, 10, 1));
        assertThrows(EOFException.class, () -> read(stream, 100, 1));
        assertEquals("89", read(stream, 8, 2));
        hook.closeStream(stream);
    }

    @Test
    public void aDirectoryHasWhatLiesDirectlyInIt() throws IOException {
        write("out/a", "out/b/c", "out/b/d", "output/e", "out.f");
        assertArrayEquals(uris("out/a", "out/b"), hook.list(bucket.uri("out")));
        assertArrayEquals(new long[] {0, 1}, hook.status(bucket.uri("out")));
        assertNull(hook.status(bucket.uri("ou")));
        assertArrayEquals(new String[0], hook.list(bucket.uri("missing")));
    }

    @Test
    public void namesMayHaveEveryKindOfCharacterButThoseOfPatterns() throws IOException {
        String name = "o u+t/50%25 &=#é/object";
        write(name);
        assertArrayEquals(new long[] {FEW_BYTES.length, 0}, hook.status(bucket.uri(name)));
        assertArrayEquals(uris("o u+t/50%25 &=#é"), hook.list(bucket.uri("o u+t")));
        hook.rename(bucket.uri(name), bucket.uri("o u+t/50%25 &=#é/renamed"));
        assertEquals(Set.of("o u+t/50%25 &=#é/renamed"), bucket.names());
        assertTrue(hook.delete(bucket.uri("o u+t")));
        assertEquals(Set.of(), bucket.names());
    }

    @Test
    public void anObjectThatIsThereIsReplacedOnlyWhenAskedFor() throws IOException {
        write("object");
        assertThrows(FileAlreadyExistsException.class, () -> hook.create(bucket.uri("object"), false));
        write("object", new byte[] {1, 2}, true);
        assertArrayEquals(new byte[] {1, 2}, bucket.get("object"));
    }

    @Test
    public void renamingReplacesWhatHasTheName() throws IOException {
        write("object");
        write("other", new byte[] {1, 2}, false);
        hook.rename(bucket.uri("object"), bucket.uri("other"));
        assertEquals(Set.of("other"), bucket.names());
        assertArrayEquals(FEW_BYTES, bucket.get("other"));
    }

    @Test
    public void deletingADirectoryLeavesThoseWhoseNamesBeginAlike() throws IOException {
        write("out", "out/a", "out/b/c", "output/d", "out.e");
        assertTrue(hook.delete(bucket.uri("out")));
        assertEquals(Set.of("out.e", "output/d"), bucket.names());
        assertFalse(hook.delete(bucket.uri("out")));
    }

    @Test
    public void whatIsMissingIsNotFound() {
        assertThrows(FileNotFoundException.class, () -> hook.openForReading(bucket.uri("missing")));
    }

    @Test
    public void anAbortedObjectIsGoneAndSoIsOneThatWasOpenAtTheEnd() throws IOException {
        long aborted = hook.create(bucket.uri("aborted"), false);
        hook.write(aborted, FEW_BYTES, FEW_BYTES.length);
        hook.abortStream(aborted);
        long open = hook.create(bucket.uri("open"), false);
        hook.write(open, FEW_BYTES, FEW_BYTES.length);
        hook.close();
        assertEquals(Set.of(), bucket.names());
    }
}
