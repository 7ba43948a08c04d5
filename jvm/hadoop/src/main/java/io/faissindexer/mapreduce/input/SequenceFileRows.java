package io.faissindexer.mapreduce.input;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.apache.hadoop.io.ArrayPrimitiveWritable;
import org.apache.hadoop.io.ArrayWritable;
import org.apache.hadoop.io.ByteWritable;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.DoubleWritable;
import org.apache.hadoop.io.FloatWritable;
import org.apache.hadoop.io.IntWritable;
import org.apache.hadoop.io.LongWritable;
import org.apache.hadoop.io.NullWritable;
import org.apache.hadoop.io.ShortWritable;
import org.apache.hadoop.io.Text;
import org.apache.hadoop.io.VIntWritable;
import org.apache.hadoop.io.VLongWritable;
import org.apache.hadoop.io.Writable;
import org.apache.hadoop.mapreduce.TaskAttemptContext;
import org.apache.hadoop.mapreduce.lib.input.FileSplit;
import org.apache.hadoop.mapreduce.lib.input.SequenceFileRecordReader;

/** Pairs of an id and an embedding, in the Writables that hold such things. */
final class SequenceFileRows extends RowFileReader {
    private final SequenceFileRecordReader<Object, Object> pairs = new SequenceFileRecordReader<>();
    private final DelimitedText components = new DelimitedText();
    private FileSplit split;
    /** Hadoop's reader cannot be asked or closed before. */
    private boolean isOpen;
    private long pair;

    @Override
    void open(FileSplit part, TaskAttemptContext context) throws IOException, InterruptedException {
        split = part;
        try {
            pairs.initialize(part, context);
        } catch (RuntimeException failure) {
            throw withoutClass(failure);
        }
        isOpen = true;
    }

    private RuntimeException withoutClass(RuntimeException failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof ClassNotFoundException) {
                return unusable(split, "keys or values are of a type that is not there (" + cause.getMessage()
                        + "); its jar is given with -libjars");
            }
        }
        return failure;
    }

    @Override
    boolean next() throws IOException, InterruptedException {
        pair++;
        return pairs.nextKeyValue();
    }

    @Override
    EmbeddingRow row() {
        Object key = pairs.getCurrentKey();
        try {
            if (key instanceof NullWritable || key instanceof Text && DelimitedText.isAbsent(key.toString().trim())) {
                return DelimitedText.withoutId();
            }
            return row(id(key), pairs.getCurrentValue());
        } catch (NumberFormatException notANumber) {
            throw malformed(split, "pair " + pair + " from byte " + split.getStart(),
                    "not a number: " + notANumber.getMessage());
        }
    }

    private long id(Object key) {
        if (key instanceof LongWritable) {
            return ((LongWritable) key).get();
        }
        if (key instanceof IntWritable) {
            return ((IntWritable) key).get();
        }
        if (key instanceof VLongWritable) {
            return ((VLongWritable) key).get();
        }
        if (key instanceof VIntWritable) {
            return ((VIntWritable) key).get();
        }
        if (key instanceof ShortWritable) {
            return ((ShortWritable) key).get();
        }
        if (key instanceof ByteWritable) {
            return ((ByteWritable) key).get();
        }
        if (key instanceof Text) {
            return Long.parseLong(key.toString().trim());
        }
        throw unusable(split, "keys are of type " + key.getClass().getName()
                + "; ids are Writables of whole numbers, or Text");
    }

    private EmbeddingRow row(long id, Object value) {
        if (value instanceof NullWritable) {
            return sink -> sink.nullEmbedding(id);
        }
        if (value instanceof Text) {
            return components.row(id, value.toString());
        }
        if (value instanceof BytesWritable) {
            return floats(id, (BytesWritable) value);
        }
        if (value instanceof ArrayPrimitiveWritable) {
            return primitives(id, ((ArrayPrimitiveWritable) value).get());
        }
        if (value instanceof ArrayWritable) {
            return writables(id, ((ArrayWritable) value).get());
        }
        throw unembeddable(value.getClass().getName());
    }

    private EmbeddingRow floats(long id, BytesWritable value) {
        if (value.getLength() % Float.BYTES != 0) {
            throw malformed(split, "id " + id, value.getLength() + " bytes are no whole number of 4-byte floats");
        }
        float[] embedding = new float[value.getLength() / Float.BYTES];
        ByteBuffer.wrap(value.getBytes()).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(embedding);
        return sink -> sink.add(id, embedding);
    }

    private EmbeddingRow primitives(long id, Object array) {
        if (array instanceof float[]) {
            return sink -> sink.add(id, (float[]) array);
        }
        if (array instanceof double[]) {
            return sink -> sink.add(id, (double[]) array);
        }
        throw unembeddable(array.getClass().getComponentType() + "[]");
    }

    private EmbeddingRow writables(long id, Writable[] array) {
        double[] embedding = new double[array.length];
        for (int component = 0; component < array.length; component++) {
            Writable value = array[component];
            if (value instanceof FloatWritable) {
                embedding[component] = ((FloatWritable) value).get();
            } else if (value instanceof DoubleWritable) {
                embedding[component] = ((DoubleWritable) value).get();
            } else if (value instanceof NullWritable) {
                return sink -> sink.nullComponent(id);
            } else {
                throw unembeddable("array of " + value.getClass().getName());
            }
        }
        return sink -> sink.add(id, embedding);
    }

    private RuntimeException unembeddable(String type) {
        return unusable(split, "values are of type " + type + "; embeddings are Text, BytesWritable of little-endian "
                + "floats, ArrayPrimitiveWritable of float or double, or ArrayWritable of FloatWritable or "
                + "DoubleWritable");
    }

    @Override
    float progress() throws IOException {
        return isOpen ? pairs.getProgress() : 0;
    }

    @Override
    public void close() throws IOException {
        if (isOpen) {
            pairs.close();
        }
    }
}
