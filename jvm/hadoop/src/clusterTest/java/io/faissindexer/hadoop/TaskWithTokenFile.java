package io.faissindexer.hadoop;

import io.faissindexer.IndexReceipt;
import io.faissindexer.hadoop.SmallHdfs.OnHadoop;
import io.faissindexer.stages.IndexBuild;
import io.faissindexer.storage.FileSystemHook;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.security.UserGroupInformation;

/**
 * A JVM that has what YARN gives to a task: a configuration, and an environment that names a file of tokens. Its exit
 * code is 0 if the build succeeded, and what it says is about the calls of hooks or the failure.
 */
final class TaskWithTokenFile {
    private TaskWithTokenFile() {
    }

    /** Takes the configuration's file, the output, and a value of {@code io.hdfs}. */
    public static void main(String[] arguments) {
        Configuration configuration = new Configuration();
        configuration.addResource(new Path(arguments[0]));
        UserGroupInformation.setConfiguration(configuration);
        RecordedCalls calls = new RecordedCalls();
        OnHadoop engine = new OnHadoop(SmallHdfs.EMBEDDINGS, configuration) {
            @Override
            public FileSystemHook.Factory files() {
                return calls.files(configuration);
            }
        };
        int code = 1;
        try {
            IndexBuild build = new IndexBuild(engine);
            IndexReceipt receipt = build.run(SmallHdfs.inParts(4).ioHdfs(arguments[2]).build(), arguments[1]);
            System.out.println(receipt.index() + " with calls of " + calls);
            System.out.println("calls are of no file: " + calls.areOfNoFile());
            code = 0;
        } catch (RuntimeException failure) {
            System.out.println(failure.getMessage());
        }
        // A client of HDFS must not keep the JVM, so it ends by itself where nothing is wrong.
        if (code != 0) {
            System.exit(code);
        }
    }

    /** Runs one and returns what it says; an error if its exit code is another. */
    static String run(File configuration, String output, String client, File tokens, int code) throws Exception {
        List<String> command = new ArrayList<>(Arrays.asList(
                System.getProperty("java.home") + "/bin/java",
                "-Xmx512m",
                "--add-opens", "java.base/java.lang=ALL-UNNAMED",
                "--add-exports", "java.security.jgss/sun.security.krb5=ALL-UNNAMED",
                "-Djava.security.krb5.conf=" + System.getProperty("java.security.krb5.conf"),
                "-cp", System.getProperty("java.class.path")));
        command.addAll(Arrays.asList(
                TaskWithTokenFile.class.getName(), configuration.toURI().toString(), output, client));
        File said = File.createTempFile("said", ".txt", configuration.getParentFile());
        ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(said);
        builder.environment().remove("HADOOP_CONF_DIR");
        // Tickets of whoever runs the tests.
        builder.environment().put("KRB5CCNAME", configuration.getParent() + "/no-tickets");
        if (tokens == null) {
            builder.environment().remove("HADOOP_TOKEN_FILE_LOCATION");
        } else {
            builder.environment().put("HADOOP_TOKEN_FILE_LOCATION", tokens.getPath());
        }
        int found = builder.start().waitFor();
        String text = new String(Files.readAllBytes(said.toPath()), StandardCharsets.UTF_8);
        if (found != code) {
            throw new IOException("exit code " + found + " instead of " + code + ": " + text);
        }
        return text;
    }
}
