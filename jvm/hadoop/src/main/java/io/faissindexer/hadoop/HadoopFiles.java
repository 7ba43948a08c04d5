package io.faissindexer.hadoop;

import io.faissindexer.storage.FileSystemHook;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import org.apache.hadoop.conf.Configuration;

/** Takes a Hadoop configuration to the workers and makes hooks there. */
public final class HadoopFiles implements FileSystemHook.Factory {
    private static final long serialVersionUID = 1L;

    private transient Configuration configuration;

    /** Hooks that find file systems by a configuration. */
    public HadoopFiles(Configuration configuration) {
        this.configuration = configuration;
    }

    @Override
    public FileSystemHook open() {
        return new HadoopFileSystemHook(configuration);
    }

    private void writeObject(ObjectOutputStream stream) throws IOException {
        configuration.write(new DataOutputStream(stream));
    }

    private void readObject(ObjectInputStream stream) throws IOException {
        configuration = new Configuration(false);
        configuration.readFields(new DataInputStream(stream));
    }
}
