package io.faissindexer.hadoop;

import io.faissindexer.storage.FileSystemHook;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.Arrays;
import java.util.Collections;
import java.util.Set;
import java.util.TreeSet;
import org.apache.hadoop.conf.Configuration;

/** Which methods of their hooks the tasks of builds call: whether they reach files through Hadoop's client. */
final class RecordedCalls {
    private final Set<String> methods = Collections.synchronizedSet(new TreeSet<>());

    /** Hooks that are watched. */
    FileSystemHook.Factory files(Configuration configuration) {
        return () -> {
            FileSystemHook hook = new HadoopFileSystemHook(configuration);
            return (FileSystemHook) Proxy.newProxyInstance(
                    RecordedCalls.class.getClassLoader(),
                    new Class<?>[] {FileSystemHook.class},
                    (proxy, called, arguments) -> {
                        methods.add(called.getName());
                        try {
                            return called.invoke(hook, arguments);
                        } catch (InvocationTargetException failure) {
                            throw failure.getCause();
                        }
                    });
        };
    }

    /** Whether all files were read and written without the hooks. */
    boolean areOfNoFile() {
        return Collections.disjoint(methods, Arrays.asList("openForReading", "create", "rename", "list", "status"));
    }

    @Override
    public String toString() {
        return methods.toString();
    }
}
