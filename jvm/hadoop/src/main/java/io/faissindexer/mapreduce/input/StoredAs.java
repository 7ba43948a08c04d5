package io.faissindexer.mapreduce.input;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Locale;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FileStatus;
import org.apache.hadoop.fs.FileSystem;

/** How the rows of an input are stored. */
public enum StoredAs {
    /** Columns of ids and lists of float or double. */
    PARQUET("PAR1") {
        @Override
        RowFileReader reader() {
            return new ParquetRows();
        }
    },
    /** Keys are ids; values are text, little-endian floats, or arrays of float or double. */
    SEQUENCEFILE("SEQ") {
        @Override
        RowFileReader reader() {
            return new SequenceFileRows();
        }
    },
    /** Records with a field of ids and one of arrays of float or double. */
    AVRO("Obj\u0001") {
        @Override
        RowFileReader reader() {
            return new AvroRows();
        }
    },
    /** Lines of an id, a tab, and components with commas between. */
    TEXT("") {
        @Override
        RowFileReader reader() {
            return new TextRows();
        }
    };

    private static final String RECOGNISED = "auto";

    private final byte[] firstBytes;

    StoredAs(String firstBytes) {
        this.firstBytes = firstBytes.getBytes(StandardCharsets.ISO_8859_1);
    }

    /** A reader of files that are stored so. */
    abstract RowFileReader reader();

    /**
     * What a configuration says, or what the first bytes of a file are.
     *
     * @throws FaissIndexException of kind INVALID_SPEC when the configuration names no known format
     */
    static StoredAs of(FileStatus file, Configuration configuration) throws IOException {
        String named = configuration.getTrimmed(InputSettings.FORMAT, RECOGNISED);
        if (named.equalsIgnoreCase(RECOGNISED)) {
            return recognise(file, configuration);
        }
        for (StoredAs known : values()) {
            if (known.name().equalsIgnoreCase(named)) {
                return known;
            }
        }
        throw new FaissIndexException(Kind.INVALID_SPEC, InputSettings.FORMAT + "='" + named + "' is not known; "
                + "it is " + RECOGNISED + " or one of " + Arrays.toString(values()).toLowerCase(Locale.ROOT));
    }

    private static StoredAs recognise(FileStatus file, Configuration configuration) throws IOException {
        FileSystem fileSystem = file.getPath().getFileSystem(configuration);
        byte[] begin = new byte[(int) Math.min(file.getLen(), PARQUET.firstBytes.length)];
        try (FSDataInputStream stream = fileSystem.open(file.getPath())) {
            stream.readFully(begin);
        }
        for (StoredAs known : values()) {
            if (begin.length >= known.firstBytes.length
                    && Arrays.equals(Arrays.copyOf(begin, known.firstBytes.length), known.firstBytes)) {
                return known;
            }
        }
        return TEXT;
    }
}
