package io.faissindexer.beam;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** The launcher as a user starts it, in a process of its own, with what it says in files of a directory. */
final class LauncherProcess {
    private final File directory;
    private final Process process;

    /** Starts the launcher. */
    LauncherProcess(File directory, String... arguments) throws IOException {
        this.directory = directory;
        List<String> command = new ArrayList<>(List.of(System.getProperty("faissindexer.test.launcher")));
        command.addAll(List.of(arguments));
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectOutput(new File(directory, "stdout")).redirectError(new File(directory, "stderr"));
        builder.environment().put("JAVA_OPTS", "-Xmx500m");
        process = builder.start();
    }

    /** Waits for its end and returns its exit code. */
    int exitCode() throws InterruptedException {
        return process.waitFor();
    }

    /** Waits until it has said something on stderr, or has ended. */
    void awaitLine(String part) throws IOException, InterruptedException {
        while (process.isAlive() && !stderr().contains(part)) {
            process.waitFor(50, TimeUnit.MILLISECONDS);
        }
    }

    /** Sends SIGTERM; the launcher's shell has given way to Java. */
    void terminate() {
        process.destroy();
    }

    String stdout() throws IOException {
        return text("stdout");
    }

    String stderr() throws IOException {
        return text("stderr");
    }

    private String text(String name) throws IOException {
        return new String(Files.readAllBytes(new File(directory, name).toPath()), StandardCharsets.UTF_8);
    }
}
