package io.faissindexer.hadoop;

import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.mapreduce.MRJobConfig;
import org.apache.hadoop.yarn.conf.YarnConfiguration;

/**
 * What YARN is asked for a task whose JVM also runs native code: the heap, what the native code takes, and what the JVM
 * takes for itself. What the user has said holds; a site's setting holds where it is larger.
 */
public final class TaskContainer {
    /** Classes, compiled code, stacks and buffers outside the heap. */
    private static final long JVM_MIB = 256;
    /** The collector's tables are a share of the heap. */
    private static final long HEAP_PER_TABLES = 16;
    /** Where nobody says: about what Hadoop gives to a task of its usual GiB. */
    private static final long USUAL_HEAP_MIB = 768;
    /** Reading rows takes more than this. */
    private static final long LEAST_HEAP_MIB = 256;
    private static final long CONTAINER_STEP_MIB = 128;
    private static final long MIB = 1 << 20;
    private static final Pattern HEAP = Pattern.compile("(?<!\\S)-Xmx(\\d+)([kKmMgGtT]?)(?!\\S)");
    /** In the order of their powers of 1024, after bytes, which have no letter. */
    private static final List<String> UNITS = Arrays.asList("", "k", "m", "g", "t");
    private static final String OPTIONS_OF_ANY_TASK = "mapred.child.java.opts";
    private static final String[] SIGNS_OF_A_FULL_CONTAINER = {
        "beyond the 'PHYSICAL' memory limit", "beyond physical memory limits",
    };
    private static final String SIGN_OF_A_FULL_HEAP = "java.lang.OutOfMemoryError: Java heap space";

    private final TaskKind kind;
    private final Configuration configuration;
    private final String stage;
    private final long nativeMiB;
    private final Map<String, String> settings = new TreeMap<>();
    private final List<String> announcements = new ArrayList<>();

    /**
     * Decides about the tasks of one stage.
     *
     * @param configuration that the job will have; it is not changed
     * @param stage as users know it
     * @param nativeBytes what a task takes at most outside its heap
     * @param threads of a task, when the user has named them, else 0
     * @throws FaissIndexException of kind INVALID_SPEC when the cluster is known to have no such container
     */
    public TaskContainer(TaskKind kind, Configuration configuration, String stage, long nativeBytes, int threads) {
        this.kind = kind;
        this.configuration = configuration;
        this.stage = stage;
        nativeMiB = (nativeBytes + MIB - 1) / MIB;
        // Inside the application master, a task would not get what is asked for.
        settings.put(MRJobConfig.JOB_UBERTASK_ENABLE, "false");
        decideMemory();
        decideCores(threads);
    }

    /** What has to be set for the job, by key. */
    public Map<String, String> settings() {
        return new TreeMap<>(settings);
    }

    /** What was decided and why, in single lines. */
    public List<String> announcements() {
        return new ArrayList<>(announcements);
    }

    private void decideMemory() {
        String options = configuration.get(kind.javaOptions(), configuration.get(OPTIONS_OF_ANY_TASK, "")).trim();
        OptionalLong statedHeap = heapMiB(options);
        GivenSetting given = GivenSetting.of(kind.memory(), configuration);
        long needed = roundUp(withJvm(statedHeap.orElse(USUAL_HEAP_MIB)) + nativeMiB);
        long container = given.isUsers() ? given.value() : withinCluster(Math.max(given.value(), needed), statedHeap);
        long heap = statedHeap.orElse(container == needed ? USUAL_HEAP_MIB
                : Math.max(LEAST_HEAP_MIB, heapOf(container)));
        if (!statedHeap.isPresent()) {
            settings.put(kind.javaOptions(), (options + " -Xmx" + heap + "m").trim());
        }
        settings.put(kind.memory(), Long.toString(container));
        String parts = heap + " heap (-Xmx" + (statedHeap.isPresent() ? " as given" : "") + ") + " + nativeMiB
                + " native code + " + (withJvm(heap) - heap) + " of the JVM's own";
        if (withJvm(heap) + nativeMiB > container) {
            announcements.add("warning: " + stage + ": " + given + " is less than the " + (withJvm(heap) + nativeMiB)
                    + " MiB that a task may take: " + parts + "; YARN ends a task that takes more than its container");
        } else {
            announcements.add(stage + ": containers of " + container + " MiB (" + kind.memory()
                    + origin(given, container) + "): " + parts);
        }
    }

    private static String origin(GivenSetting given, long container) {
        if (given.isUsers()) {
            return ", as given";
        }
        return given.value() == container ? ", as the site says" : "";
    }

    /** The container, or the largest of the cluster where the heap can be made to fit. */
    private long withinCluster(long container, OptionalLong statedHeap) {
        long largest = GivenSetting.of(YarnConfiguration.RM_SCHEDULER_MAXIMUM_ALLOCATION_MB, configuration).value();
        if (largest == 0 || container <= largest) {
            return container;
        }
        if (!statedHeap.isPresent() && heapOf(largest) >= LEAST_HEAP_MIB) {
            return largest;
        }
        long heap = statedHeap.orElse(LEAST_HEAP_MIB);
        throw new FaissIndexException(Kind.INVALID_SPEC, stage + ": a task needs a container of "
                + (withJvm(heap) + nativeMiB) + " MiB: " + heap + " heap + " + nativeMiB + " native code + "
                + (withJvm(heap) - heap) + " of the JVM's own; the cluster has none above " + largest + " MiB ("
                + YarnConfiguration.RM_SCHEDULER_MAXIMUM_ALLOCATION_MB + "), and -D " + kind.memory()
                + "=MIB overrides the estimate");
    }

    private void decideCores(int threads) {
        GivenSetting given = GivenSetting.of(kind.cores(), configuration);
        if (threads <= 0) {
            return;
        }
        if (!given.isUsers()) {
            settings.put(kind.cores(), Integer.toString(Math.max(given.value(), threads)));
        } else if (given.value() < threads) {
            announcements.add("warning: " + stage + ": " + given + " asks for fewer cores than the " + threads
                    + " threads of a task");
        }
    }

    private static long withJvm(long heap) {
        return heap + JVM_MIB + heap / HEAP_PER_TABLES;
    }

    /** The heap for which a container has room. */
    private long heapOf(long container) {
        return Math.max(0, (container - nativeMiB - JVM_MIB) * HEAP_PER_TABLES / (HEAP_PER_TABLES + 1));
    }

    private static long roundUp(long mebibytes) {
        return (mebibytes + CONTAINER_STEP_MIB - 1) / CONTAINER_STEP_MIB * CONTAINER_STEP_MIB;
    }

    /** As the JVM does: the last one counts, and a number without a unit is in bytes. */
    private static OptionalLong heapMiB(String options) {
        OptionalLong heap = OptionalLong.empty();
        Matcher stated = HEAP.matcher(options);
        while (stated.find()) {
            int power = UNITS.indexOf(stated.group(2).toLowerCase(Locale.ROOT));
            heap = OptionalLong.of(((Long.parseLong(stated.group(1)) << 10 * power) + MIB - 1) / MIB);
        }
        return heap;
    }

    /**
     * What to say of a task that memory was too short for; empty for tasks that failed for other reasons.
     *
     * @param diagnostics what Hadoop says about the end of the task
     */
    public static Optional<String> shortage(TaskKind kind, Configuration configuration, String diagnostics) {
        for (String sign : SIGNS_OF_A_FULL_CONTAINER) {
            if (diagnostics.contains(sign)) {
                return Optional.of("YARN ended a task because it took more memory than its container has, "
                        + kind.memory() + "=" + configuration.get(kind.memory())
                        + "; without that setting, what the stage needs is asked for");
            }
        }
        if (diagnostics.contains(SIGN_OF_A_FULL_HEAP)) {
            return Optional.of("the heap of a task is too small for the rows of the input, " + kind.javaOptions() + "="
                    + configuration.get(kind.javaOptions()) + "; a larger -Xmx there helps");
        }
        return Optional.empty();
    }
}
