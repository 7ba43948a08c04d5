package io.faissindexer.beam;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A script of examples/dataflow in a process of its own, with its settings. In the place of the programs that would
 * reach a cloud are ones that write down what they are asked for.
 */
final class ExampleScript {
    static final Path EXAMPLES = Path.of(System.getProperty("faissindexer.test.examples"), "dataflow");
    private static final List<String> CLOUD_PROGRAMS = List.of("gcloud", "docker");
    private static final List<String> SETTINGS = List.of("PROJECT", "REGION", "BUCKET", "SERVICE_ACCOUNT", "OUTPUT",
            "TABLE", "QUERY_FILE", "JOB_NAME", "MACHINE_TYPE", "WORKER_IMAGE", "TEMPLATE", "TEMPLATE_IMAGE",
            "REPOSITORY");

    private final Path directory;
    private final ProcessBuilder builder;

    /** A command that has not started, with all that it says and asks for in files of a directory. */
    private ExampleScript(File directory, Map<String, String> settings, List<String> command) throws IOException {
        this.directory = directory.toPath();
        Path programs = Files.createDirectories(this.directory.resolve("programs"));
        for (String program : CLOUD_PROGRAMS) {
            // What is asked for does not exist until it is made.
            writeProgram(programs.resolve(program), "echo \"" + program + " $*\" >> '" + this.directory
                    + "/asked'\ncase \"$*\" in *' describe '*) exit \"${DESCRIBED:-1}\" ;; esac");
        }
        builder = new ProcessBuilder(command)
                .directory(directory)
                .redirectOutput(this.directory.resolve("stdout").toFile())
                .redirectError(this.directory.resolve("stderr").toFile());
        Map<String, String> environment = builder.environment();
        environment.keySet().removeAll(SETTINGS);
        environment.put("PATH", programs + File.pathSeparator + environment.get("PATH"));
        environment.put("JAVA_OPTS", "-Xmx500m");
        environment.putAll(settings);
    }

    /** Runs a script of the examples. */
    static ExampleScript of(File directory, Map<String, String> settings, String name, String... arguments)
            throws IOException {
        List<String> command = new ArrayList<>(List.of(EXAMPLES.resolve(name).toString()));
        command.addAll(Arrays.asList(arguments));
        return new ExampleScript(directory, settings, command);
    }

    /** Runs commands as a page of the documentation has them. */
    static ExampleScript ofCommands(File directory, Map<String, String> settings, String commands) throws IOException {
        return new ExampleScript(directory, settings, List.of("bash", "-euo", "pipefail", "-c", commands));
    }

    /** Writes a program for scripts to find. */
    static void writeProgram(Path file, String lines) throws IOException {
        Files.writeString(file, "#!/bin/bash\n" + lines + "\n");
        if (!file.toFile().setExecutable(true)) {
            throw new IOException(file + " cannot be made executable");
        }
    }

    /** Runs it to its end and returns its exit code. */
    int run() throws IOException, InterruptedException {
        return builder.start().waitFor();
    }

    /** What the cloud was asked for, one line for each request. */
    List<String> asked() throws IOException {
        Path file = directory.resolve("asked");
        return Files.exists(file) ? Files.readAllLines(file) : List.of();
    }

    String stderr() throws IOException {
        return Files.readString(directory.resolve("stderr"), StandardCharsets.UTF_8);
    }
}
