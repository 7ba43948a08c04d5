package io.faissindexer.internal;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotSame;
import static org.junit.Assert.assertThrows;
import static org.junit.Assert.assertTrue;

import io.faissindexer.FaissIndexException;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.lang.reflect.InvocationTargetException;
import java.net.MalformedURLException;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.After;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class NativeLibraryTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    @After
    public void forgetProperties() {
        System.clearProperty(NativeLibrary.PATH_PROPERTY);
        System.clearProperty(NativeLibrary.DIRECTORY_PROPERTY);
    }

    /** A class loader with classes of its own, as a second Spark session has them. */
    private static URLClassLoader freshClassLoader() throws MalformedURLException {
        List<URL> urls = new ArrayList<>();
        for (String entry : System.getProperty("faissindexer.test.classpath").split(File.pathSeparator)) {
            urls.add(new File(entry).toURI().toURL());
        }
        return new URLClassLoader(urls.toArray(new URL[0]), null);
    }

    private static void load(ClassLoader loader) throws Throwable {
        call(loader, "NativeLibrary", "load");
    }

    private static Object call(ClassLoader loader, String type, String method) throws Throwable {
        try {
            return Class.forName("io.faissindexer.internal." + type, true, loader).getMethod(method).invoke(null);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        }
    }

    private static String failureOfLoading(ClassLoader loader) {
        Throwable failure = assertThrows(Throwable.class, () -> load(loader));
        assertEquals(FaissIndexException.class.getName(), failure.getClass().getName());
        return failure.getMessage();
    }

    @Test
    public void severalClassLoadersHaveALibraryEach() throws Throwable {
        System.setProperty(NativeLibrary.DIRECTORY_PROPERTY, folder.getRoot().getPath());
        NativeLibrary.load();
        try (URLClassLoader second = freshClassLoader(); URLClassLoader third = freshClassLoader()) {
            load(second);
            load(third);
            assertNotSame(NativeBridge.class, second.loadClass(NativeBridge.class.getName()));
            assertEquals(NativeBridge.buildInfo(), call(second, "NativeBridge", "buildInfo"));
            assertEquals(NativeBridge.buildInfo(), call(third, "NativeBridge", "buildInfo"));
        }
        File[] directories = folder.getRoot().listFiles();
        assertEquals(1, directories.length);
        assertEquals("copies are not left behind", 1, directories[0].list().length);
    }

    @Test
    public void aDirectoryThatCannotBeUsedIsFollowedByTheNext() throws Throwable {
        System.setProperty(NativeLibrary.DIRECTORY_PROPERTY, folder.newFile("file").getPath());
        try (URLClassLoader loader = freshClassLoader()) {
            load(loader);
        }
    }

    @Test
    public void theLibraryThatAPropertyNamesIsLoadedAndNoOther() throws Throwable {
        Path copy = folder.getRoot().toPath().resolve("renamed.so");
        String resource = "/io/faissindexer/native/linux-x86_64/libfaiss_indexer.so";
        try (InputStream library = NativeLibraryTest.class.getResourceAsStream(resource)) {
            Files.copy(library, copy);
        }
        System.setProperty(NativeLibrary.PATH_PROPERTY, copy.toString());
        try (URLClassLoader loader = freshClassLoader()) {
            load(loader);
        }
        System.setProperty(NativeLibrary.PATH_PROPERTY, "/missing/library.so");
        try (URLClassLoader loader = freshClassLoader()) {
            String message = failureOfLoading(loader);
            assertTrue(message, message.contains("/missing/library.so"));
        }
    }

    @Test
    public void aFailureIsKeptAndThrownAgain() throws IOException {
        System.setProperty(NativeLibrary.PATH_PROPERTY, "/missing/library.so");
        try (URLClassLoader loader = freshClassLoader()) {
            String message = failureOfLoading(loader);
            System.clearProperty(NativeLibrary.PATH_PROPERTY);
            assertEquals(message, failureOfLoading(loader));
        }
    }

    @Test
    public void aFileThatIsNoLibraryIsRefusedWithTheWordsOfTheSystem() throws IOException {
        Path file = folder.newFile("text.so").toPath();
        System.setProperty(NativeLibrary.PATH_PROPERTY, file.toString());
        try (URLClassLoader loader = freshClassLoader()) {
            String message = failureOfLoading(loader);
            assertTrue(message, message.contains("text.so") && message.contains("file too short"));
        }
    }

    @Test
    public void jarAndLibraryOfDifferentVersionsAreRefused() {
        NativeLibrary.requireSameVersion("1.2.3", "faiss-indexer 1.2.3 (faiss 1.12.0)");
        for (String other : new String[] {"faiss-indexer 1.2.4 (faiss 1.12.0)", "faiss-indexer"}) {
            FaissIndexException refused =
                    assertThrows(FaissIndexException.class, () -> NativeLibrary.requireSameVersion("1.2.3", other));
            assertTrue(refused.getMessage(), refused.getMessage().contains("1.2.3")
                    && refused.getMessage().contains(other));
        }
    }
}
