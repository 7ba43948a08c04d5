package io.faissindexer.internal;

import io.faissindexer.FaissIndexException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** What this machine is, and in plain words why a native library cannot run on it. */
final class Platform {
    private static final List<String> NEEDED_CPU_FLAGS = Arrays.asList("avx2", "fma", "f16c", "popcnt");
    private static final Path CPU_INFO = Paths.get("/proc/cpuinfo");
    private static final Path MUSL_LOADER = Paths.get("/lib/ld-musl-x86_64.so.1");
    private static final Path GLIBC_LOADER = Paths.get("/lib64/ld-linux-x86-64.so.2");

    private Platform() {
    }

    /** Operating system and processor as resources of the jar are named, such as {@code linux-x86_64}. */
    static String name() {
        return name(System.getProperty("os.name", "unknown"), System.getProperty("os.arch", "unknown"));
    }

    static String name(String operatingSystem, String architecture) {
        String processor = architecture.equals("amd64") ? "x86_64" : architecture;
        return operatingSystem.toLowerCase(Locale.ROOT).replace(' ', '_') + "-" + processor;
    }

    /** Refuses a processor on which the library would end the process with an illegal instruction. */
    static void requireProcessor() {
        String description;
        try {
            description = new String(Files.readAllBytes(CPU_INFO), StandardCharsets.ISO_8859_1);
        } catch (IOException unreadable) {
            // A container may hide the file; most processors of today pass.
            return;
        }
        requireProcessor(description);
    }

    static void requireProcessor(String cpuInfo) {
        for (String line : cpuInfo.split("\n")) {
            if (line.startsWith("flags")) {
                Set<String> present = new HashSet<>(Arrays.asList(line.substring(line.indexOf(':') + 1).split("\\s+")));
                List<String> missing = new ArrayList<>(NEEDED_CPU_FLAGS);
                missing.removeAll(present);
                if (!missing.isEmpty()) {
                    throw new FaissIndexException(FaissIndexException.Kind.INTERNAL, "this processor lacks "
                            + String.join(", ", missing)
                            + ", which the native library is compiled for: run on x86-64 machines with AVX2"
                            + " (Intel Haswell, AMD Excavator or later)");
                }
                return;
            }
        }
    }

    /** Why the system refused to load a file, as far as its words tell, and what helps. */
    static String explain(Path file, String refusal) {
        if (isNoExec(refusal)) {
            return file.getParent() + " is mounted noexec: set -D" + NativeLibrary.DIRECTORY_PROPERTY
                    + " to a directory from which programs may run";
        }
        if (refusal.contains("GLIBC_")) {
            return "the C library of this system is too old: glibc 2.17 or later is needed (" + refusal + ")";
        }
        boolean hasMuslOnly = Files.exists(MUSL_LOADER) && !Files.exists(GLIBC_LOADER);
        return explain(refusal, hasMuslOnly);
    }

    static String explain(String refusal, boolean hasMuslOnly) {
        if (hasMuslOnly || refusal.contains("musl")) {
            return "this system has the C library musl, but glibc 2.17 or later is needed: use an image that is"
                    + " based on glibc (" + refusal + ")";
        }
        return refusal;
    }

    static boolean isNoExec(String refusal) {
        return refusal.contains("failed to map segment") || refusal.contains("Operation not permitted");
    }
}
