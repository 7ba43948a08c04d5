package io.faissindexer.beam;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import io.faissindexer.IndexSpec;
import io.faissindexer.stages.GroupedOutput;
import io.faissindexer.stages.StagedBuild;
import java.io.Serializable;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.apache.beam.sdk.transforms.display.DisplayData;
import org.apache.beam.sdk.values.KV;

/** What a pipeline builds, and where: one index of all rows, or one for each group of them. */
final class BeamBuild implements Serializable {
    private static final long serialVersionUID = 1L;

    /** Most native code ends within a second of being cancelled. */
    private static final long MILLIS_TO_END = 60_000;

    private final String name = StagedBuild.newName();
    private final IndexSpec spec;
    private final String output;
    private final boolean isGrouped;

    BeamBuild(IndexSpec spec, String output, boolean isGrouped) {
        this.spec = Objects.requireNonNull(spec, "spec");
        this.output = Objects.requireNonNull(output, "outputDirectory");
        this.isGrouped = isGrouped;
    }

    /** What no other build is called. */
    String name() {
        return name;
    }

    IndexSpec spec() {
        return spec;
    }

    boolean isGrouped() {
        return isGrouped;
    }

    /** Fails for what cannot be built. */
    void check() {
        if (isGrouped) {
            GroupedOutput.check(spec, output, files());
        } else {
            StagedBuild.check(spec, output, files());
        }
    }

    /**
     * Decides what to build, by how many rows of a group have an embedding of a number of components; 0 components
     * stand for none. The dimension, where it is not given, is that of most rows.
     *
     * @return specs with their dimension, by group
     */
    Map<String, IndexSpec> begin(Iterable<KV<KV<String, Integer>, Long>> counts) {
        SortedMap<Integer, Long> rowsByDimension = new TreeMap<>();
        SortedMap<String, IndexSpec> specs = new TreeMap<>();
        counts.forEach(count -> {
            String group = count.getKey().getKey();
            if (count.getValue() > 0) {
                specs.put(group, spec);
                rowsByDimension.merge(count.getKey().getValue(), count.getValue(), Long::sum);
            }
        });
        rowsByDimension.remove(0);
        if (rowsByDimension.isEmpty()) {
            throw new FaissIndexException(Kind.TOO_FEW_ROWS, "the input has no row with an embedding");
        }
        int ofMostRows = rowsByDimension.entrySet().stream().max(Map.Entry.comparingByValue()).get().getKey();
        int dimension = spec.dimension().orElse(ofMostRows);
        specs.replaceAll((group, given) -> given.toBuilder().dimension(dimension).build());
        if (isGrouped) {
            StagesAtWork.ofProcess().during(name, () -> {
                GroupedOutput.start(name, spec, output, specs.keySet(), files());
                return null;
            });
        }
        return specs;
    }

    /** The directory of the index of a group. */
    String directory(String group) {
        return isGrouped ? GroupedOutput.directory(output, group) : output;
    }

    /** To be called when the indexes of all groups can be published; hands on their names. */
    List<String> publishGroups(Iterable<String> groups) {
        List<String> names = new ArrayList<>();
        groups.forEach(names::add);
        return StagesAtWork.ofProcess().during(name, () -> {
            GroupedOutput.publish(name, spec, output, names, files());
            return names;
        });
    }

    /** To be called when all is published. */
    void end() {
        if (isGrouped) {
            GroupedOutput.end(name, output, files());
        }
    }

    /** Ends what of the build is at work in this process and deletes what it has written, but no finished index. */
    void abandon() {
        StagesAtWork.ofProcess().without(name, MILLIS_TO_END, () -> StagedBuild.abandon(name, output, files()));
    }

    /** What is in the output. */
    List<IndexReceipt> receipts() {
        List<String> directories = isGrouped
                ? GroupedOutput.published(output, files()).stream().map(this::directory).collect(Collectors.toList())
                : List.of(output);
        return directories.stream()
                .map(directory -> StagedBuild.published(directory, files()))
                .collect(Collectors.toList());
    }

    void populateDisplayData(DisplayData.Builder builder) {
        builder.add(DisplayData.item("outputDirectory", output));
        spec.values().forEach((key, value) -> builder.add(DisplayData.item(key, value)));
    }

    private BeamFiles files() {
        return new BeamFiles(output);
    }
}
