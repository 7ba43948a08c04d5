package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.ReadableByteChannel;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.apache.beam.sdk.extensions.avro.io.AvroIO;
import org.apache.beam.sdk.io.Compression;
import org.apache.beam.sdk.io.FileIO;
import org.apache.beam.sdk.io.FileIO.ReadableFile;
import org.apache.beam.sdk.io.parquet.ParquetIO;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.FlatMapElements;
import org.apache.beam.sdk.transforms.Flatten;
import org.apache.beam.sdk.transforms.ParDo;
import org.apache.beam.sdk.transforms.Reshuffle;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.apache.beam.sdk.values.PCollection;
import org.apache.beam.sdk.values.PCollectionList;
import org.apache.beam.sdk.values.PCollectionTuple;
import org.apache.beam.sdk.values.TupleTag;
import org.apache.beam.sdk.values.TupleTagList;
import org.apache.beam.sdk.values.TypeDescriptors;

/** Embeddings in Parquet and Avro files, of any of Beam's file systems. */
public final class EmbeddingFiles extends EmbeddingSource {
    private static final long serialVersionUID = 1L;
    private static final TupleTag<ReadableFile> PARQUET = new TupleTag<ReadableFile>() { };
    private static final TupleTag<ReadableFile> AVRO = new TupleTag<ReadableFile>() { };

    private final ArrayList<String> inputs;
    private final EmbeddingColumns columns;

    private EmbeddingFiles(List<String> inputs, EmbeddingColumns columns) {
        this.inputs = new ArrayList<>(inputs);
        this.columns = columns;
    }

    /**
     * Embeddings in files.
     *
     * @param inputs files, patterns of files, or directories
     * @param idColumn of whole numbers
     * @param embeddingColumn of arrays of floats or doubles
     */
    public static EmbeddingFiles of(List<String> inputs, String idColumn, String embeddingColumn) {
        return new EmbeddingFiles(inputs, EmbeddingColumns.of(idColumn, embeddingColumn));
    }

    /** The same embeddings, to be indexed by group; the column holds strings or whole numbers. */
    public EmbeddingFiles groupedBy(String groupColumn) {
        return new EmbeddingFiles(inputs, columns.groupedBy(groupColumn));
    }

    @Override
    boolean isGrouped() {
        return columns.group().isPresent();
    }

    @Override
    public PCollection<KV<String, KV<Long, float[]>>> expand(PCollection<Integer> begins) {
        ArrayList<String> names = inputs;
        RecordRows rows = new RecordRows(columns);
        PCollectionTuple files = begins
                .apply("inputs", FlatMapElements.into(TypeDescriptors.strings()).via(begin -> names))
                .apply("files", ParDo.of(new InputFilesFn()))
                .apply("spread", Reshuffle.viaRandomKey())
                .apply("open", FileIO.readMatches().withCompression(Compression.UNCOMPRESSED))
                .apply("tell formats apart", ParDo.of(new FormatFn())
                        .withOutputTags(PARQUET, TupleTagList.of(AVRO)));
        PCollection<KV<String, KV<Long, float[]>>> ofParquet = files.get(PARQUET)
                .apply("Parquet", ParquetIO.parseFilesGenericRecords(rows).withCoder(FloatArrayCoder.ofGroupedRows()));
        PCollection<KV<String, KV<Long, float[]>>> ofAvro = files.get(AVRO)
                .apply("Avro", AvroIO.parseFilesGenericRecords(rows).withCoder(FloatArrayCoder.ofGroupedRows()));
        return PCollectionList.of(ofParquet).and(ofAvro).apply("all", Flatten.pCollections());
    }

    @Override
    public void populateDisplayData(DisplayData.Builder builder) {
        super.populateDisplayData(builder);
        builder.add(DisplayData.item("inputs", String.join(" ", inputs)));
        columns.populateDisplayData(builder);
    }

    /** Goes by the first bytes of a file, which every file of a format has. */
    private static final class FormatFn extends DoFn<ReadableFile, ReadableFile> {
        private static final long serialVersionUID = 1L;
        private static final String PARQUET_MAGIC = "PAR1";
        private static final String AVRO_MAGIC = "Obj\u0001";

        @ProcessElement
        public void process(@Element ReadableFile file, MultiOutputReceiver files) throws IOException {
            ByteBuffer begin = ByteBuffer.allocate(PARQUET_MAGIC.length());
            try (ReadableByteChannel channel = file.open()) {
                while (begin.hasRemaining() && channel.read(begin) >= 0) {
                    continue;
                }
            }
            String magic = new String(begin.array(), 0, begin.position(), StandardCharsets.ISO_8859_1);
            if (magic.equals(PARQUET_MAGIC)) {
                files.get(PARQUET).output(file);
            } else if (magic.equals(AVRO_MAGIC)) {
                files.get(AVRO).output(file);
            } else {
                throw new FaissIndexException(Kind.INVALID_SPEC,
                        "--input: " + file.getMetadata().resourceId() + " is neither a Parquet nor an Avro file");
            }
        }
    }
}
