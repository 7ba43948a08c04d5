package io.faissindexer.internal;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.DirectoryHook;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.After;
import org.junit.Before;
import org.junit.BeforeClass;
import org.junit.Rule;
import org.junit.Test;
import org.junit.function.ThrowingRunnable;
import org.junit.rules.TemporaryFolder;

/** What native code does with arguments that no caller of ours gives it. This JVM checks every JNI call. */
public class NativeBoundaryTest {
    private static final int DIMENSION = 4;
    private static final int ROWS = 3;
    private static final String[] SPEC = {"dimension", "4", "factoryString", "Flat"};
    private static final String[] NONE = {};

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final ByteBuffer ids = direct(ROWS * Long.BYTES);
    private final ByteBuffer vectors = direct(ROWS * DIMENSION * Float.BYTES);
    private String build;
    private long stage;

    @BeforeClass
    public static void load() {
        NativeLibrary.load();
    }

    @Before
    public void openStage() {
        build = NativeBridge.startBuild("name", SPEC, folder.getRoot() + "/out", null);
        stage = NativeBridge.openStage("sample", build, NONE, 0, 1, null);
    }

    @After
    public void closeStage() {
        NativeBridge.close(stage);
        NativeBridge.abandon("name", folder.getRoot() + "/out", null);
    }

    @Test
    public void faultsOfEveryKindArriveWithKindAndMessage() {
        assertFails(Kind.STORAGE, "an error was asked for", () -> NativeBridge.raise("error"));
        assertFails(Kind.INTERNAL, "a panic was asked for", () -> NativeBridge.raise("panic"));
        assertFails(Kind.FAISS, "Error", () -> NativeBridge.raise("faiss"));
        assertFails(Kind.INVALID_SPEC, "'flood'", () -> NativeBridge.raise("flood"));
    }

    @Test
    public void aClosedOrInventedHandleIsAnExceptionEverywhereButInClose() {
        NativeBridge.close(stage);
        NativeBridge.close(stage);
        for (long handle : new long[] {stage, 0, -1, Long.MIN_VALUE, Long.MAX_VALUE}) {
            NativeBridge.close(handle);
            String number = Long.toString(handle);
            assertFails(Kind.CLOSED, number, () -> NativeBridge.append(handle, ids, vectors, 1));
            assertFails(Kind.CLOSED, number, () -> NativeBridge.reject(handle, NativeBridge.NULL_ID, 0, 0));
            assertFails(Kind.CLOSED, number, () -> NativeBridge.finish(handle));
            assertFails(Kind.CLOSED, number, () -> NativeBridge.progress(handle));
            assertFails(Kind.CLOSED, number, () -> NativeBridge.cancel(handle));
        }
    }

    @Test
    public void aFinishedStageTakesNoMoreRows() {
        NativeBridge.append(stage, ids, vectors, ROWS);
        NativeBridge.finish(stage);
        assertFails(Kind.CLOSED, "", () -> NativeBridge.append(stage, ids, vectors, ROWS));
        assertFails(Kind.CLOSED, "", () -> NativeBridge.finish(stage));
        assertEquals(ROWS, NativeBridge.progress(stage)[0]);
    }

    @Test
    public void buffersThatCannotBeReadAreRefusedByName() {
        ByteBuffer heap = ByteBuffer.allocate(1024);
        assertFails(Kind.INVALID_SPEC, "ids", () -> NativeBridge.append(stage, heap, vectors, 1));
        assertFails(Kind.INVALID_SPEC, "vectors", () -> NativeBridge.append(stage, ids, heap, 1));
        assertFails(Kind.INVALID_SPEC, "ids", () -> NativeBridge.append(stage, null, vectors, 1));
        assertFails(Kind.INVALID_SPEC, "vectors", () -> NativeBridge.append(stage, ids, null, 1));
        assertFails(Kind.INVALID_SPEC, "ids", () -> NativeBridge.append(stage, direct(8), vectors, 2));
        assertFails(Kind.INVALID_SPEC, "vectors", () -> NativeBridge.append(stage, ids, direct(47), 3));
        assertFails(Kind.INVALID_SPEC, "rows", () -> NativeBridge.append(stage, ids, vectors, -1));
        assertFails(Kind.INVALID_SPEC, "ids", () -> NativeBridge.append(stage, ids, vectors, Integer.MAX_VALUE));
    }

    @Test
    public void textsThatCannotBeReadAreRefusedByName() {
        String out = folder.getRoot() + "/other";
        assertFails(Kind.INVALID_SPEC, "'a/b'", () -> NativeBridge.startBuild("a/b", SPEC, out, null));
        assertFails(Kind.INVALID_SPEC, "spec", () -> NativeBridge.startBuild("name", null, out, null));
        assertFails(Kind.INVALID_SPEC, "output", () -> NativeBridge.startBuild("name", SPEC, null, null));
        for (String[] spec : new String[][] {{"seed"}, {"a", null}}) {
            String culprit = spec.length == 1 ? "'seed'" : "spec[1]";
            assertFails(Kind.INVALID_SPEC, culprit, () -> NativeBridge.startBuild("name", spec, out, null));
        }
        assertFails(Kind.INVALID_SPEC, "build", () -> NativeBridge.openStage("sample", null, NONE, 0, 1, null));
        assertFails(Kind.INVALID_SPEC, "'guess'", () -> NativeBridge.openStage("guess", build, NONE, 0, 1, null));
        assertFails(Kind.INVALID_SPEC, "nonsense", () -> NativeBridge.openStage("train", "nonsense", NONE, 0, 1, null));
        assertFails(Kind.INVALID_SPEC, "partition", () -> NativeBridge.openStage("sample", build, NONE, -1, 1, null));
        assertFails(Kind.INVALID_SPEC, "threads", () -> NativeBridge.openStage("sample", build, NONE, 0, 0, null));
        assertFails(Kind.INVALID_SPEC, "receipt", () -> NativeBridge.badRows(null));
        assertFails(Kind.INVALID_SPEC, "nonsense", () -> NativeBridge.badRows("nonsense"));
        assertFails(Kind.INVALID_SPEC, "'guess'", () -> NativeBridge.taskMemory("guess", build, NONE, 1));
        assertFails(Kind.INVALID_SPEC, "threads", () -> NativeBridge.taskMemory("sample", build, NONE, -1));
        assertFails(Kind.INVALID_SPEC, "build", () -> NativeBridge.taskMemory("sample", null, NONE, 1));
        assertFails(Kind.INVALID_SPEC, "reason", () -> NativeBridge.reject(stage, 99, 0, 0));
    }

    @Test
    public void aCancelledStageFailsItsNextCall() {
        NativeBridge.cancel(stage);
        assertFails(Kind.CANCELLED, "", () -> {
            NativeBridge.append(stage, ids, vectors, ROWS);
            NativeBridge.finish(stage);
        });
    }

    @Test
    public void aSchemeThatNeedsAHookIsRefusedByNameWithoutOne() {
        assertFails(Kind.INVALID_SPEC, "hooked", () -> NativeBridge.startBuild("name", SPEC, "hooked:/out", null));
    }

    @Test
    public void whatAHookThrowsArrivesWithItsMessage() throws IOException {
        Path regularFile = folder.newFile("file").toPath();
        try (DirectoryHook hook = new DirectoryHook(regularFile)) {
            assertFails(null, "file", () -> NativeBridge.startBuild("name", SPEC, "hooked:/out", hook));
        }
    }

    @Test
    public void logRecordsComeInThrees() {
        NativeBridge.takeLogs();
        assertThrows(FaissIndexException.class, () -> NativeBridge.raise("panic"));
        String[] records = NativeBridge.takeLogs();
        assertEquals(Arrays.toString(records), 0, records.length % 3);
        assertTrue(Arrays.toString(records), Arrays.asList(records).contains("ERROR"));
        assertEquals(0, NativeBridge.takeLogs().length);
    }

    private static ByteBuffer direct(int bytes) {
        return ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder());
    }

    private static void assertFails(Kind kind, String message, ThrowingRunnable call) {
        FaissIndexException failure = assertThrows(FaissIndexException.class, call);
        assertTrue(failure.getMessage(), failure.getMessage().contains(message));
        if (kind != null) {
            assertEquals(failure.getMessage(), kind, failure.kind());
        }
    }
}
