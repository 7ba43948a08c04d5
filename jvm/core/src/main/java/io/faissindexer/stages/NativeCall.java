package io.faissindexer.stages;

import io.faissindexer.FaissIndexException;
import io.faissindexer.IndexSpec;
import io.faissindexer.internal.NativeLogs;
import io.faissindexer.storage.FileSystemHook;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Calls of the native library beside those of a stage, and how they are given specs and give facts. */
final class NativeCall {
    private NativeCall() {
    }

    /** A call that reaches files. */
    interface ThroughHook<T> {
        T through(FileSystemHook hook);
    }

    /** A call that reaches none. */
    interface WithoutHook<T> {
        T call();
    }

    static <T> T through(FileSystemHook.Factory files, ThroughHook<T> call) {
        return logged(() -> {
            try (FileSystemHook hook = files.open()) {
                return call.through(hook);
            } catch (IOException failure) {
                throw new FaissIndexException(
                        FaissIndexException.Kind.STORAGE, "the file system hook cannot be closed: " + failure, failure);
            }
        });
    }

    static <T> T logged(WithoutHook<T> logged) {
        StageCall.loadLibrary();
        try {
            return logged.call();
        } finally {
            NativeLogs.deliver();
        }
    }

    /** Keys and values, one after the other. */
    static String[] pairs(IndexSpec spec) {
        List<String> pairs = new ArrayList<>();
        spec.values().forEach((key, value) -> {
            pairs.add(key);
            pairs.add(value);
        });
        return pairs.toArray(new String[0]);
    }

    static Map<String, String> facts(String[] pairs) {
        Map<String, String> facts = new TreeMap<>();
        for (int at = 0; at + 1 < pairs.length; at += 2) {
            facts.put(pairs[at], pairs[at + 1]);
        }
        return facts;
    }
}
