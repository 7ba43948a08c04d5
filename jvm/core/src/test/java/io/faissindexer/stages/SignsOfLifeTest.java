package io.faissindexer.stages;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import io.faissindexer.DirectoryHook;
import io.faissindexer.Embeddings;
import io.faissindexer.IndexSpec;
import io.faissindexer.storage.FileSystemHook;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.OptionalInt;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.Rule;
import org.junit.Test;
import org.junit.rules.TemporaryFolder;

/** What an engine with a time-out hears of a task that takes long. */
public class SignsOfLifeTest {
    private static final Embeddings ROWS = new Embeddings(600, 8);
    private static final long LONG_MILLIS = 2_000;

    @Rule
    public final TemporaryFolder folder = new TemporaryFolder();

    private final AtomicInteger signs = new AtomicInteger();
    private int signsWhileReading;
    private int signsWhileWriting;
    private boolean isInTask;

    @Test
    public void aTaskIsSaidToBeAtWorkInsideNativeCodeAndNotWhileItWaitsForRows() {
        IndexSpec spec = IndexSpec.builder().factoryString("Flat").dimension(8).report(false).build();
        assertEquals(600, new IndexBuild(new SlowEngine(folder.getRoot().toPath())).run(spec, "hooked:/out").rows());
        assertTrue(signsWhileWriting + " signs", signsWhileWriting > 1);
        assertTrue(signsWhileReading + " signs: one may have been on its way", signsWhileReading <= 1);
    }

    private interface Task {
        StageOutcome run(StageControl control) throws Exception;
    }

    private StageOutcome run(Task task) {
        isInTask = true;
        try {
            return task.run(new StageControl() {
                @Override
                public int threads() {
                    return 1;
                }

                @Override
                public boolean isCancelled() {
                    return false;
                }

                @Override
                public void onProgress(long moreRows, long moreBytes) {
                }

                @Override
                public void onWork() {
                    signs.incrementAndGet();
                }
            });
        } catch (Exception failure) {
            throw new AssertionError(failure);
        } finally {
            isInTask = false;
        }
    }

    private int signsDuringSleep() throws InterruptedException {
        int before = signs.get();
        Thread.sleep(LONG_MILLIS);
        return signs.get() - before;
    }

    /** One partition whose rows come late, and files that take long to create. */
    private final class SlowEngine implements Engine {
        private final Path directory;

        SlowEngine(Path directory) {
            this.directory = directory;
        }

        @Override
        public String input() {
            return "slow rows";
        }

        @Override
        public OptionalInt firstDimension() {
            return OptionalInt.empty();
        }

        @Override
        public List<StageOutcome> onEveryPartition(String name, PartitionStage stage) {
            return Collections.singletonList(run(control -> stage.run(0, sink -> {
                ROWS.partitions(1, 0).get(0).forEachRow(sink);
                if (name.startsWith("encode")) {
                    signsWhileReading = signsDuringSleep();
                }
            }, control)));
        }

        @Override
        public List<StageOutcome> inTasks(String name, int tasks, RowlessStage stage) {
            List<StageOutcome> outcomes = new ArrayList<>();
            for (int task = 0; task < tasks; task++) {
                int number = task;
                outcomes.add(run(control -> stage.run(number, control)));
            }
            return outcomes;
        }

        @Override
        public FileSystemHook.Factory files() {
            return () -> {
                DirectoryHook files = new DirectoryHook(directory);
                return (FileSystemHook) Proxy.newProxyInstance(
                        getClass().getClassLoader(), new Class<?>[] {FileSystemHook.class}, (hook, method, given) -> {
                            if (method.getName().equals("create") && isInTask && signsWhileWriting == 0) {
                                signsWhileWriting = signsDuringSleep();
                            }
                            try {
                                return method.invoke(files, given);
                            } catch (InvocationTargetException failure) {
                                throw failure.getCause();
                            }
                        });
            };
        }
    }
}
