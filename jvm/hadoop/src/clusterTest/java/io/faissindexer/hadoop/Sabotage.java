package io.faissindexer.hadoop;

import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import org.apache.hadoop.conf.Configuration;

/** Something that happens to a cluster once, in the middle of a task: before a certain call of its hook. */
final class Sabotage {
    /** What happens. */
    interface Deed {
        void commit() throws Exception;
    }

    private final String method;
    private final Deed deed;
    private int callsToGo;

    /** A deed before a call of a method of {@link FileSystemHook}. */
    Sabotage(String method, Deed deed) {
        this.method = method;
        this.deed = deed;
    }

    /** Lets it happen before the n-th call from now on. */
    void arm(int calls) {
        callsToGo = calls;
    }

    boolean isCommitted() {
        return callsToGo < 0;
    }

    /** Hooks through which tasks call. */
    FileSystemHook.Factory files(Configuration configuration) {
        return () -> {
            FileSystemHook hook = new HadoopFileSystemHook(configuration);
            InvocationHandler harmed = (proxy, called, arguments) -> {
                if (called.getName().equals(method)) {
                    beforeCall();
                }
                try {
                    return called.invoke(hook, arguments);
                } catch (InvocationTargetException failure) {
                    throw failure.getCause();
                }
            };
            return (FileSystemHook) Proxy.newProxyInstance(
                    Sabotage.class.getClassLoader(), new Class<?>[] {FileSystemHook.class}, harmed);
        };
    }

    private void beforeCall() throws IOException {
        if (callsToGo > 0 && --callsToGo == 0) {
            callsToGo = -1;
            try {
                deed.commit();
            } catch (Exception failure) {
                throw new IOException("the cluster could not be harmed: " + failure, failure);
            }
        }
    }
}
