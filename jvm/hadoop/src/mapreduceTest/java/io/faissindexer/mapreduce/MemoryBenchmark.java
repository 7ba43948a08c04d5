package io.faissindexer.mapreduce;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.Cluster;
import org.apache.hadoop.mapreduce.Counters;
import org.apache.hadoop.mapreduce.JobID;
import org.apache.hadoop.mapreduce.TaskCounter;
import org.apache.parquet.avro.AvroParquetWriter;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.util.HadoopOutputFile;

/**
 * A build on YARN by the launcher in a JVM of its own with a small heap: prints the peak of that heap, and for every
 * job the most memory that one of its tasks took beside the container that was asked for. Ends with 1 when the build
 * fails or a bound is exceeded.
 */
public final class MemoryBenchmark {
    private static final int DIMENSION = 192;
    private static final int FILES = 8;
    private static final int CENTRES = 1000;
    private static final String FAMILY = "OPQ48,IVF256,PQ48np";
    private static final int MOST_HEAP_MIB = 200;
    private static final Pattern JOB = Pattern.compile(".*mapreduce: ([a-z ]+): .* in (job_\\d+_\\d+)");
    private static final Pattern CONTAINER = Pattern.compile(".*mapreduce: ([a-z ]+): containers of (\\d+) MiB .*");
    /** Occupancy before a collection. */
    private static final Pattern COLLECTION = Pattern.compile(".* (\\d+)M->\\d+M\\(\\d+M\\).*");

    private final SmallCluster cluster;
    private final Path directory;
    private final List<String> said = new ArrayList<>();

    private MemoryBenchmark(SmallCluster cluster, Path directory) {
        this.cluster = cluster;
        this.directory = directory;
    }

    /** Takes the launcher and the number of rows. */
    public static void main(String[] arguments) throws Exception {
        int rows = Integer.parseInt(arguments[1]);
        boolean isWithin;
        try (SmallCluster cluster = new SmallCluster()) {
            MemoryBenchmark benchmark = new MemoryBenchmark(cluster, Files.createTempDirectory("memory-benchmark"));
            benchmark.writeRows(rows);
            isWithin = benchmark.build(arguments[0], rows);
        }
        // Threads of the cluster that are left would keep the process.
        System.exit(isWithin ? 0 : 1);
    }

    private void writeRows(int rows) throws IOException {
        Configuration configuration = cluster.configuration();
        configuration.setInt("dfs.replication", 1);
        Schema schema = RowFiles.schema("entityId", "embedding", false);
        SplittableRandom random = new SplittableRandom(1);
        float[][] centres = new float[CENTRES][DIMENSION];
        for (float[] centre : centres) {
            for (int component = 0; component < DIMENSION; component++) {
                centre[component] = (float) random.nextDouble(-1, 1);
            }
        }
        for (int file = 0; file < FILES; file++) {
            org.apache.hadoop.fs.Path path = new org.apache.hadoop.fs.Path("/rows/part-" + file + ".parquet");
            try (ParquetWriter<GenericRecord> writer = AvroParquetWriter
                    .<GenericRecord>builder(HadoopOutputFile.fromPath(path, configuration))
                    .withSchema(schema).withConf(configuration).withDictionaryEncoding(false).build()) {
                for (long id = (long) rows * file / FILES; id < (long) rows * (file + 1) / FILES; id++) {
                    writer.write(row(schema, id, centres[random.nextInt(CENTRES)], random));
                }
            }
        }
    }

    private static GenericRecord row(Schema schema, long id, float[] centre, SplittableRandom random) {
        List<Float> components = new ArrayList<>(DIMENSION);
        for (float middle : centre) {
            components.add(middle + (float) random.nextDouble(-0.5, 0.5));
        }
        GenericRecord record = new GenericData.Record(schema);
        record.put(0, "");
        record.put(1, id);
        record.put(2, components);
        return record;
    }

    private boolean build(String launcher, int rows) throws Exception {
        Path collections = directory.resolve("collections.log");
        ProcessBuilder builder = new ProcessBuilder(launcher, "--input", "/rows", "--output", "/index",
                "--factory-string", FAMILY, "--dimension", Integer.toString(DIMENSION));
        builder.environment().remove("HADOOP_HOME");
        SmallCluster.write(cluster.configuration(), directory.toFile());
        builder.environment().put("HADOOP_CONF_DIR", directory.toString());
        builder.environment().put("HADOOP_CLIENT_OPTS", "-Xmx" + MOST_HEAP_MIB + "m -Xlog:gc:file=" + collections);
        builder.redirectErrorStream(true);
        Process process = builder.start();
        try (BufferedReader lines =
                new BufferedReader(new InputStreamReader(process.getInputStream(), StandardCharsets.UTF_8))) {
            lines.lines().peek(System.out::println).forEach(said::add);
        }
        int exitCode = process.waitFor();
        if (exitCode != 0) {
            System.out.println("the launcher ended with " + exitCode);
            return false;
        }
        boolean isWithin = reportTasks();
        long heap = Files.readAllLines(collections).stream().map(COLLECTION::matcher).filter(Matcher::matches)
                .mapToLong(line -> Long.parseLong(line.group(1))).max().orElse(0);
        System.out.printf(Locale.ROOT,
                "%s of %,d rows x %d: the heap of the submitter had %d MiB at most (bound %d MiB)%n",
                FAMILY, rows, DIMENSION, heap, MOST_HEAP_MIB);
        return isWithin && heap < MOST_HEAP_MIB;
    }

    private boolean reportTasks() throws Exception {
        Map<String, Long> containers = new LinkedHashMap<>();
        boolean isWithin = true;
        for (String line : said) {
            Matcher container = CONTAINER.matcher(line);
            if (container.matches()) {
                containers.put(container.group(1), Long.parseLong(container.group(2)));
            }
            Matcher job = JOB.matcher(line);
            if (job.matches()) {
                long most = containers.get(job.group(1));
                long peak = peakMebibytes(job.group(2));
                System.out.printf(Locale.ROOT, "%s: a task took %d MiB at most, its container had %d MiB%n",
                        job.group(1), peak, most);
                isWithin &= peak > 0 && peak <= most;
            }
        }
        return isWithin && !containers.isEmpty();
    }

    private long peakMebibytes(String job) throws Exception {
        Counters counters = new Cluster(cluster.configuration()).getJob(JobID.forName(job)).getCounters();
        return counters.findCounter(TaskCounter.MAP_PHYSICAL_MEMORY_BYTES_MAX).getValue() >> 20;
    }
}
