package io.faissindexer.mapreduce;

import java.io.IOException;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.fs.permission.FsPermission;
import org.apache.hadoop.hdfs.DistributedFileSystem;
import org.apache.hadoop.util.Progressable;

/** An HDFS that takes long to create the first file of a stage that encodes harmful rows; native code waits for it. */
public final class SlowHdfs extends DistributedFileSystem {
    static final String MILLIS = "test.slow.millis";

    @Override
    public FSDataOutputStream create(Path file, FsPermission permission, boolean overwrite, int bufferSize,
            short replication, long blockSize, Progressable progress) throws IOException {
        Configuration task = HarmfulFloats.encodingTask();
        if (task != null && file.toString().contains("/out/_temporary/") && HarmfulFloats.isFirst(task, "slowed")) {
            HarmfulFloats.sleep(task.getLong(MILLIS, 0));
        }
        return super.create(file, permission, overwrite, bufferSize, replication, blockSize, progress);
    }
}
