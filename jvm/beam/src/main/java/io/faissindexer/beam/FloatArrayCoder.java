package io.faissindexer.beam;

import java.io.DataInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import org.apache.beam.sdk.coders.AtomicCoder;
import org.apache.beam.sdk.coders.Coder;
import org.apache.beam.sdk.coders.KvCoder;
import org.apache.beam.sdk.coders.NullableCoder;
import org.apache.beam.sdk.coders.StringUtf8Coder;
import org.apache.beam.sdk.coders.VarLongCoder;
import org.apache.beam.sdk.util.VarInt;
import org.apache.beam.sdk.values.KV;

/** Floats as their number and four bytes each, in little-endian order. */
public final class FloatArrayCoder extends AtomicCoder<float[]> {
    private static final long serialVersionUID = 1L;
    private static final FloatArrayCoder ONLY = new FloatArrayCoder();

    private FloatArrayCoder() {
    }

    /** The coder of arrays that are there. */
    public static FloatArrayCoder of() {
        return ONLY;
    }

    /** The coder of embeddings by id, either of which may be missing. */
    public static Coder<KV<Long, float[]>> ofRows() {
        return KvCoder.of(NullableCoder.of(VarLongCoder.of()), NullableCoder.of(ONLY));
    }

    /** The coder of such rows by their group. */
    static Coder<KV<String, KV<Long, float[]>>> ofGroupedRows() {
        return KvCoder.of(StringUtf8Coder.of(), ofRows());
    }

    @Override
    public void encode(float[] value, OutputStream out) throws IOException {
        VarInt.encode(value.length, out);
        ByteBuffer bytes = ByteBuffer.allocate(value.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(value);
        out.write(bytes.array());
    }

    @Override
    public float[] decode(InputStream in) throws IOException {
        float[] value = new float[VarInt.decodeInt(in)];
        byte[] bytes = new byte[value.length * Float.BYTES];
        new DataInputStream(in).readFully(bytes);
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(value);
        return value;
    }

    @Override
    public Object structuralValue(float[] value) {
        return FloatBuffer.wrap(value.clone());
    }

    @Override
    public boolean isRegisterByteSizeObserverCheap(float[] value) {
        return true;
    }

    @Override
    protected long getEncodedElementByteSize(float[] value) {
        return VarInt.getLength(value.length) + (long) value.length * Float.BYTES;
    }
}
