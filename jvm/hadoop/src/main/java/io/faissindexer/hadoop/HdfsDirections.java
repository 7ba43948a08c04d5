package io.faissindexer.hadoop;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.security.UserGroupInformation;

/** What a client of HDFS that is not Hadoop's has to know to do as Hadoop's would. */
final class HdfsDirections {
    private static final String SOCKET_TIMEOUT = "dfs.client.socket-timeout";
    private static final String HA_NAME_NODES = "dfs.ha.namenodes.";
    private static final String RPC_ADDRESS = "dfs.namenode.rpc-address.";
    /** Keys, or what they begin with, that say where name nodes are and how they and data nodes are spoken to. */
    private static final String[] KEYS = {
        "dfs.client.block.write.replace-datanode-on-failure.",
        "dfs.client.failover.",
        SOCKET_TIMEOUT,
        "dfs.client.use.datanode.hostname",
        "dfs.data.transfer.protection",
        "dfs.encrypt.data.transfer",
        HA_NAME_NODES,
        RPC_ADDRESS,
        "dfs.nameservices",
        "fs.defaultFS",
        "hadoop.security.authentication",
        "hadoop.security.token.service.use_ip",
    };

    private HdfsDirections() {
    }

    /** Keys and values in turn, the values as one reads them that knows neither variables nor units nor schemes. */
    static String[] settings(Configuration configuration) {
        List<String> settings = new ArrayList<>();
        for (Map.Entry<String, String> entry : configuration) {
            String key = entry.getKey();
            if (isOfUse(key) && isGiven(key, configuration)) {
                settings.add(key);
                settings.add(value(key, configuration));
            }
        }
        return settings.toArray(new String[0]);
    }

    private static boolean isOfUse(String key) {
        for (String known : KEYS) {
            if (key.startsWith(known)) {
                return true;
            }
        }
        return false;
    }

    /** What is only Hadoop's default is for its own client: another has defaults of its own. */
    private static boolean isGiven(String key, Configuration configuration) {
        String[] sources = configuration.getPropertySources(key);
        boolean isDefault = sources != null && sources.length > 0 && sources[sources.length - 1].endsWith("-default.xml");
        return !isDefault && !configuration.getTrimmed(key, "").isEmpty();
    }

    private static String value(String key, Configuration configuration) {
        if (key.startsWith(HA_NAME_NODES)) {
            return String.join(",", configuration.getTrimmedStrings(key));
        }
        if (key.equals(SOCKET_TIMEOUT)) {
            return Long.toString(configuration.getTimeDuration(key, 60_000, TimeUnit.MILLISECONDS));
        }
        String value = configuration.getTrimmed(key);
        // Hadoop's client does not mind a scheme before an address.
        return key.startsWith(RPC_ADDRESS) ? value.replaceFirst("^[a-z]+://", "") : value;
    }

    /** The current user, where NameNodes take a client's word for it. */
    static String user() throws IOException {
        return UserGroupInformation.isSecurityEnabled() ? null : UserGroupInformation.getCurrentUser().getUserName();
    }

    /** Why only Hadoop's client could read and write in a directory, which need not exist; null if it is not so. */
    static String obstacle(Path directory, Configuration configuration) throws IOException {
        UserGroupInformation user = UserGroupInformation.getCurrentUser();
        if (UserGroupInformation.isSecurityEnabled() && user.getRealUser() != null) {
            return user.getRealUser().getUserName() + " acts for " + user.getUserName()
                    + ", and only Hadoop's own client can prove that it may";
        }
        if (nearest(directory, configuration).isEncrypted()) {
            return "it is in an encryption zone, whose keys only Hadoop's own client gets";
        }
        return null;
    }

    /** The directory, or the one above it that exists. */
    private static FileStatus nearest(Path directory, Configuration configuration) throws IOException {
        FileSystem files = directory.getFileSystem(configuration);
        Path path = directory;
        while (true) {
            try {
                return files.getFileStatus(path);
            } catch (FileNotFoundException missing) {
                if (path.getParent() == null) {
                    throw missing;
                }
                path = path.getParent();
            }
        }
    }
}
