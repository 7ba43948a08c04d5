package io.faissindexer.mapreduce.input;

import io.faissindexer.FaissIndexException;
import java.io.IOException;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.io.compress.CompressionCodec;
import org.apache.hadoop.io.compress.CompressionCodecFactory;
import org.apache.hadoop.io.compress.SplittableCompressionCodec;
import org.apache.hadoop.mapreduce.InputSplit;
import org.apache.hadoop.mapreduce.JobContext;
import org.apache.hadoop.mapreduce.RecordReader;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileInputFormat;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;

/** Rows of files, each of which is stored as {@link InputSettings} or its first bytes say. */
public final class EmbeddingInputFormat extends FileInputFormat<NullWritable, EmbeddingRow> {
    @Override
    protected boolean isSplitable(JobContext job, Path file) {
        CompressionCodec codec = new CompressionCodecFactory(job.getConfiguration()).getCodec(file);
        return codec == null || codec instanceof SplittableCompressionCodec;
    }

    @Override
    public RecordReader<NullWritable, EmbeddingRow> createRecordReader(InputSplit split, TaskAttemptContext context) {
        return new Reader();
    }

    private static final class Reader extends RecordReader<NullWritable, EmbeddingRow> {
        private FileSplit split;
        private TaskAttemptContext context;
        private boolean isOpen;
        /** Null before the first row was asked for, and for a file without a byte. */
        private RowFileReader rows;

        @Override
        public void initialize(InputSplit part, TaskAttemptContext taskContext) {
            split = (FileSplit) part;
            context = taskContext;
        }

        /** Files are opened here, where a stage is at work that makes an outcome of what is wrong with them. */
        @Override
        public boolean nextKeyValue() throws IOException, InterruptedException {
            try {
                if (!isOpen) {
                    open();
                }
                return rows != null && rows.next();
            } catch (IOException failure) {
                throw new IOException(split.getPath() + ": " + failure.getMessage(), failure);
            } catch (RuntimeException failure) {
                throw named(failure);
            }
        }

        private void open() throws IOException, InterruptedException {
            isOpen = true;
            Path path = split.getPath();
            FileStatus file = path.getFileSystem(context.getConfiguration()).getFileStatus(path);
            if (file.getLen() > 0) {
                rows = StoredAs.of(file, context.getConfiguration()).reader();
                rows.open(split, context);
            }
        }

        /** Parquet and Avro throw what they like when bytes make no sense, and wrap what is thrown to them. */
        private FaissIndexException named(RuntimeException failure) {
            for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
                if (cause instanceof FaissIndexException) {
                    return (FaissIndexException) cause;
                }
            }
            return new FaissIndexException(
                    FaissIndexException.Kind.CORRUPT_FILE, split.getPath() + ": " + failure.getMessage(), failure);
        }

        @Override
        public NullWritable getCurrentKey() {
            return NullWritable.get();
        }

        @Override
        public EmbeddingRow getCurrentValue() {
            return rows.row();
        }

        @Override
        public float getProgress() throws IOException, InterruptedException {
            return rows == null ? 0 : rows.progress();
        }

        @Override
        public void close() throws IOException {
            if (rows != null) {
                rows.close();
            }
        }
    }
}
