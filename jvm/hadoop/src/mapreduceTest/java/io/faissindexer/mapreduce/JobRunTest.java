package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertThrows;

import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Job;
import org.junit.Test;

public class JobRunTest {
    /** A job of which its cluster cannot be asked any more. */
    private static final class LostJob extends Job {
        @SuppressWarnings("deprecation")
        LostJob() throws IOException {
            super(new Configuration(false));
        }

        @Override
        public void submit() {
        }

        @Override
        public boolean isComplete() throws IOException {
            throw new IOException("connection lost");
        }

        @Override
        public void killJob() throws IOException {
            throw new IOException("connection refused");
        }
    }

    @Test
    public void aJobThatCannotBeKilledDoesNotHideWhyItHasTo() throws IOException {
        Job job = new LostJob();
        List<String> said = new ArrayList<>();
        JobRun run = new JobRun(job, new StageFiles(new Path("/stage")), new JobProgress("train", job, 0, said::add));
        IOException failure = assertThrows(IOException.class, run::outcomes);
        assertEquals("connection lost", failure.getMessage());
        assertEquals("connection refused", failure.getSuppressed()[0].getMessage());
        assertEquals("train: null may still run, as it cannot be killed: connection refused", said.get(1));
    }
}
