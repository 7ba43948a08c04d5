package io.faissindexer.beam;

import com.google.api.services.bigquery.model.Job;
import com.google.api.services.bigquery.model.JobReference;
import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.util.Arrays;
import org.apache.avro.file.DataFileReader;
import org.apache.avro.file.DataFileWriter;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.beam.sdk.io.gcp.testing.FakeJobService;

/** Exports a table to a few files, as BigQuery does, where Beam's fake has one for every five rows. */
final class FewFilesJobService extends FakeJobService {
    private static final long serialVersionUID = 1L;
    private static final int FILES = 3;

    @Override
    public Job pollJob(JobReference reference, int attempts) throws InterruptedException {
        Job job = super.pollJob(reference, attempts);
        if (job.getConfiguration().getExtract() != null) {
            for (String pattern : job.getConfiguration().getExtract().getDestinationUris()) {
                join(new File(pattern).getParentFile());
            }
        }
        return job;
    }

    @Override
    public void close() {
    }

    private static void join(File directory) {
        File[] parts = directory.listFiles();
        Arrays.sort(parts);
        try {
            for (int file = FILES; file < parts.length; file++) {
                append(parts[file], parts[file % FILES]);
            }
        } catch (IOException failure) {
            throw new UncheckedIOException(failure);
        }
    }

    private static void append(File part, File file) throws IOException {
        try (DataFileReader<GenericRecord> reader = new DataFileReader<>(part, new GenericDatumReader<>());
                DataFileWriter<GenericRecord> writer = new DataFileWriter<>(new GenericDatumWriter<>())) {
            writer.appendTo(file).appendAllFrom(reader, false);
        }
        Files.delete(part.toPath());
    }
}
