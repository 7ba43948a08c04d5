package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.IndexSpec;
import io.faissindexer.ReferenceBuild;
import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.metrics.DistributionResult;
import org.apache.beam.sdk.metrics.MetricNameFilter;
import org.apache.beam.sdk.metrics.MetricQueryResults;
import org.apache.beam.sdk.metrics.MetricResult;
import org.apache.beam.sdk.metrics.MetricsFilter;
import org.apache.beam.sdk.transforms.Create;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What a runner shows of a build. */
public class BuildMetricsTest {
    private static final long GOOD = ReferenceBuild.ROWS.rows();
    private static final long BAD = 2;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private static MetricQueryResults metrics(PipelineResult result) {
        return result.metrics().queryMetrics(MetricsFilter.builder()
                .addNameFilter(MetricNameFilter.inNamespace("faiss-indexer"))
                .build());
    }

    private static <T> Map<String, T> committed(Iterable<MetricResult<T>> results) {
        Map<String, T> values = new TreeMap<>();
        results.forEach(metric -> values.put(metric.getName().getName(), metric.getCommitted()));
        return values;
    }

    private static Map<String, String> displayed(DisplayData data) {
        Map<String, String> items = new TreeMap<>();
        data.asMap().values().forEach(item -> items.put(item.getKey(), String.valueOf(item.getValue())));
        return items;
    }

    @Test
    public void rowsBadRowsBytesAndTimeAreCountedByStage() throws IOException {
        File output = folder.newFolder();
        List<KV<Long, float[]>> rows = new ArrayList<>(ReferenceRows.all());
        rows.add(KV.of(null, rows.get(0).getValue()));
        rows.add(KV.of(77_777L, new float[3]));
        IndexSpec spec = ReferenceBuild.spec().toBuilder().badRows("skip").build();
        Pipeline pipeline = Pipeline.create();
        pipeline.apply(Create.of(rows).withCoder(FloatArrayCoder.ofRows()))
                .apply(BuildFaissIndex.into(output.getPath(), spec));
        PipelineResult result = pipeline.run();
        result.waitUntilFinish();

        Map<String, Long> counted = new TreeMap<>(Map.of("merge bytes", new File(output, "faiss.index").length()));
        for (String stage : List.of("count", "sample", "encode")) {
            counted.put(stage + " rows", GOOD + BAD);
        }
        for (String stage : List.of("sample", "encode")) {
            counted.put(stage + " bad rows without an id", 1L);
            counted.put(stage + " bad rows of the wrong dimension", 1L);
        }
        Map<String, Long> counters = committed(metrics(result).getCounters());
        String all = counters.toString();
        for (String stage : List.of("sample", "train", "encode", "merge")) {
            assertTrue(all, counters.get(stage + " bytes") > 0);
        }
        counters.keySet().retainAll(counted.keySet());
        assertEquals(all, counted, counters);

        Map<String, DistributionResult> times = committed(metrics(result).getDistributions());
        assertEquals(Set.of("sample milliseconds", "train milliseconds", "encode milliseconds", "merge milliseconds"),
                times.keySet());
        assertEquals(times.toString(), 1, times.get("train milliseconds").getCount());
        times.values().forEach(time -> assertTrue(times.toString(), time.getSum() > 0));
    }

    @Test
    public void theSpecAndTheOutputAreShownWhereverTheRowsComeFrom() {
        BuildFaissIndex build = BuildFaissIndex.into("/indexes/posts", IndexSpec.builder()
                .factoryString("IVF64,PQ8").metric("cosine").dimension(16).build());
        EmbeddingFiles files = EmbeddingFiles.of(List.of("/embeddings"), "entityId", "embedding");
        for (DisplayData data : List.of(DisplayData.from(build), DisplayData.from(build.of(files)))) {
            Map<String, String> items = displayed(data);
            assertEquals("/indexes/posts", items.get("outputDirectory"));
            assertEquals("IVF64,PQ8", items.get("factoryString"));
            assertEquals("cosine", items.get("metric"));
            assertEquals("16", items.get("dimension"));
        }
    }
}
