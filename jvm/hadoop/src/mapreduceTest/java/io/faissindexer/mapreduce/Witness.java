package io.faissindexer.mapreduce;

import java.io.IOException;
import java.io.OutputStream;
import java.net.URI;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Properties;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.security.UserGroupInformation;

/** HDFS as the containers of a job use it, which writes down by what right they do. */
public final class Witness extends DistributedFileSystem {
    /** A directory of this machine. */
    static final String STATEMENTS = "test.statements";

    @Override
    public void initialize(URI uri, Configuration configuration) throws IOException {
        super.initialize(uri, configuration);
        String container = System.getenv("CONTAINER_ID");
        if (container == null) {
            return;
        }
        UserGroupInformation user = UserGroupInformation.getCurrentUser();
        Properties statement = new Properties();
        statement.setProperty("user", user.getShortUserName());
        statement.setProperty("has ticket", Boolean.toString(user.hasKerberosCredentials() || user.isFromKeytab()));
        statement.setProperty("tokens", user.getTokens().stream()
                .map(token -> token.getKind().toString()).collect(Collectors.joining(" ")));
        Path directory = Paths.get(configuration.get(STATEMENTS));
        try (OutputStream file = Files.newOutputStream(Files.createTempFile(directory, container, ""))) {
            statement.store(file, null);
        }
    }
}
