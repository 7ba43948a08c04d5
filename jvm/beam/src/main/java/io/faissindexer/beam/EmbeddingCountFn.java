package io.faissindexer.beam;

import java.util.HashMap;
import java.util.Map;
import org.apache.beam.sdk.transforms.DoFn;
import org.apache.beam.sdk.transforms.windowing.GlobalWindow;
import org.apache.beam.sdk.values.KV;

/** Counts the rows of each bundle by group and by the number of components, which is 0 for a row without any. */
final class EmbeddingCountFn extends DoFn<KV<String, KV<Long, float[]>>, KV<KV<String, Integer>, Long>> {
    private static final long serialVersionUID = 1L;

    private transient Map<KV<String, Integer>, Long> counts;

    /** Begins to count. */
    @StartBundle
    public void begin() {
        counts = new HashMap<>();
        StageMetrics.begun(StageMetrics.COUNT);
    }

    /** Counts a row. */
    @ProcessElement
    public void process(@Element KV<String, KV<Long, float[]>> row) {
        float[] embedding = row.getValue().getValue();
        counts.merge(KV.of(row.getKey(), embedding == null ? 0 : embedding.length), 1L, Long::sum);
    }

    /** Hands on what was counted. */
    @FinishBundle
    public void finish(FinishBundleContext context) {
        StageMetrics.countRows(StageMetrics.COUNT, counts.values().stream().mapToLong(Long::longValue).sum());
        counts.forEach((shape, rows) ->
                context.output(KV.of(shape, rows), GlobalWindow.INSTANCE.maxTimestamp(), GlobalWindow.INSTANCE));
    }
}
