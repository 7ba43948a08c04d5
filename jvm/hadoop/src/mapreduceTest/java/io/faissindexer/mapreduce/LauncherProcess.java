package io.faissindexer.mapreduce;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The launcher as a user starts it, in a process of its own, with what it says in files of a directory. */
final class LauncherProcess {
    private final File directory;
    private final Process process;

    /**
     * Starts the launcher.
     *
     * @param variables of its environment beside those of this process
     */
    LauncherProcess(File directory, Map<String, String> variables, String... arguments) throws IOException {
        this.directory = directory;
        // The launcher, and then Java, take the shell's place, so that the number is theirs. What shells start in the
        // background passes over interrupts, and so would they.
        List<String> command = new ArrayList<>(Arrays.asList(
                "/bin/sh", "-c", "echo $$ > \"$0\"; exec env --default-signal=INT \"$@\"",
                new File(directory, "process").getPath(), System.getProperty("faissindexer.test.launcher")));
        command.addAll(Arrays.asList(arguments));
        ProcessBuilder builder = new ProcessBuilder(command)
                .redirectOutput(new File(directory, "stdout")).redirectError(new File(directory, "stderr"));
        Map<String, String> environment = builder.environment();
        environment.remove("HADOOP_HOME");
        environment.remove("HADOOP_CONF_DIR");
        environment.put("HADOOP_CLIENT_OPTS", "-Xmx400m");
        environment.putAll(variables);
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

    /** Does what Ctrl-C does. */
    void interrupt() throws IOException, InterruptedException {
        new ProcessBuilder("kill", "-INT", text("process").trim()).start().waitFor();
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
