package io.faissindexer.mapreduce;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.mapreduce.Job;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

public class JobJarsTest {
    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private Path jar(String directory, String content) throws IOException {
        File jar = new File(folder.newFolder(directory), "rows.jar");
        Files.write(jar.toPath(), content.getBytes(StandardCharsets.UTF_8));
        return new Path(jar.toURI());
    }

    private static String content(Path path) throws IOException {
        return new String(Files.readAllBytes(new File(path.toUri().getPath()).toPath()), StandardCharsets.UTF_8);
    }

    @Test
    public void jarsOfOneNameAllGetToTheTasksAndThoseOfOtherFileSystemsFromWhereTheyAre() throws IOException {
        Configuration configuration = new Configuration();
        configuration.set("mapreduce.framework.name", "yarn");
        configuration.set("yarn.app.mapreduce.am.staging-dir", folder.getRoot() + "/staging");
        String elsewhere = "hdfs://localhost:1/jars/elsewhere.jar";
        String first = jar("first", "first").toString();
        configuration.setStrings("tmpjars", first, elsewhere, jar("second", "second").toString(),
                first.replace("file:", "file://"));
        try (StagingDirectory staging = new StagingDirectory(configuration)) {
            Job job = Job.getInstance(configuration);
            new JobJars(configuration, staging).configure(job);
            List<Path> taken = new ArrayList<>(Arrays.asList(job.getFileClassPaths()));
            assertTrue(taken.toString(), taken.remove(new Path(elsewhere)));
            List<Path> uploaded = taken.stream()
                    .filter(path -> path.getName().endsWith("rows.jar")).collect(Collectors.toList());
            List<String> contents = new ArrayList<>();
            for (Path path : uploaded) {
                assertTrue(path.toString(), path.toString().contains("/staging/"));
                contents.add(content(path));
            }
            assertEquals(Arrays.asList("first", "second"), contents);
            assertEquals("names in the directory of a task", taken.size(),
                    taken.stream().map(Path::getName).distinct().count());
            assertNull("Hadoop uploads none of them again", job.getConfiguration().get("tmpjars"));
        }
    }
}
