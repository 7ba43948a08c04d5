package io.faissindexer.beam;

import io.faissindexer.CommandLine;
import io.faissindexer.FaissIndexException;
import io.faissindexer.FaissIndexException.Kind;
import io.faissindexer.IndexReceipt;
import java.io.IOException;
import java.io.InputStream;
import java.nio.channels.Channels;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import org.apache.beam.sdk.Pipeline;
import org.apache.beam.sdk.PipelineResult;
import org.apache.beam.sdk.PipelineResult.State;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.options.PipelineOptions;
import org.joda.time.Duration;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** The program: embeddings of files or of BigQuery in, index out, on any runner of Beam's. */
public final class IndexBuilderApp {
    static final String PROGRAM = "faiss-indexer-beam";
    private static final Logger LOG = LoggerFactory.getLogger(IndexBuilderApp.class);
    /** For the stages of this process, and for runners elsewhere. */
    private static final long SECONDS_TO_CLEAN_UP = 60;

    private final Thread builder = Thread.currentThread();
    private final CountDownLatch end = new CountDownLatch(1);
    private volatile PipelineResult running;
    private volatile boolean isInterrupted;

    private IndexBuilderApp() {
    }

    /** Runs the program and ends the process with its exit code. */
    public static void main(String[] arguments) {
        IndexBuilderApp app = new IndexBuilderApp();
        Runtime.getRuntime().addShutdownHook(new Thread(app::interrupt, "end of the build"));
        int exitCode;
        try {
            exitCode = app.runWith(arguments);
        } finally {
            app.end.countDown();
        }
        // Runners may leave threads behind.
        System.exit(exitCode);
    }

    /**
     * Runs the program and returns its exit code. The last line of stdout is the receipt as JSON, with groups as many
     * lines as there are; what goes on, and what went wrong, is said on stderr.
     */
    public static int run(String... arguments) {
        return new IndexBuilderApp().runWith(arguments);
    }

    /** A line of the program's, whatever the text. */
    static String line(String text) {
        return PROGRAM + ": " + text.trim().replaceAll("\\s*\\R\\s*", " ");
    }

    private int runWith(String... arguments) {
        try {
            BuilderArguments given = BuilderArguments.parse(arguments);
            if (given.isHelp()) {
                System.out.print(CommandLine.help(PROGRAM) + BuilderArguments.HELP);
                return 0;
            }
            List<IndexReceipt> receipts = build(given);
            receipts.forEach(built -> System.out.println(built.json()));
            if (given.describesOnly()) {
                say("the job is described, and was not started");
            }
            return 0;
        } catch (RuntimeException failure) {
            LOG.debug("the build has failed", failure);
            if (isInterrupted) {
                say("error: the build was interrupted");
                return 1;
            }
            FaissIndexException reason = reason(failure);
            say("error: " + reason.getMessage());
            return reason.exitCode();
        }
    }

    /** Returns no receipt where the job was only described. */
    private List<IndexReceipt> build(BuilderArguments given) {
        PipelineOptions options = given.options();
        if (given.usesGpu()) {
            Accelerator.addTo(options, IndexBuilderApp::say);
        }
        FileSystems.setDefaultPipelineOptions(options);
        BeamBuild build = new BeamBuild(given.spec(), given.output(), given.groupColumn().isPresent());
        build.check();
        EmbeddingSource source = source(given);
        State state;
        try {
            running = start(build, source, options);
            if (given.describesOnly()) {
                return List.of();
            }
            state = new BuildProgress(running, IndexBuilderApp::say).awaitEnd();
            if (state != null) {
                return receipts(build, state);
            }
        } catch (RuntimeException failure) {
            abandon(build);
            throw failure;
        }
        // It may be at work still, and what it has written is not to be touched then.
        throw new FaissIndexException(
                Kind.INTERNAL, "nothing is known of the end of the pipeline, which may go on; its runner can tell");
    }

    private static PipelineResult start(BeamBuild build, EmbeddingSource source, PipelineOptions options) {
        try {
            Pipeline pipeline = Pipeline.create(options);
            pipeline.apply("build", new BuildOfSource(build, source));
            return pipeline.run();
        } catch (IllegalArgumentException | IllegalStateException refused) {
            // What runners and connectors say before anything is read.
            throw new FaissIndexException(Kind.INVALID_SPEC, refused.getMessage(), refused);
        }
    }

    private static List<IndexReceipt> receipts(BeamBuild build, State state) {
        if (state != State.DONE) {
            throw new FaissIndexException(
                    Kind.INTERNAL, "the pipeline has ended as " + state + "; the log of its runner says why");
        }
        return build.receipts();
    }

    private static EmbeddingSource source(BuilderArguments given) {
        String id = given.idColumn();
        String embedding = given.embeddingColumn();
        Optional<String> group = given.groupColumn();
        if (!given.inputs().isEmpty()) {
            EmbeddingFiles files = EmbeddingFiles.of(given.inputs(), id, embedding);
            return group.map(files::groupedBy).orElse(files);
        }
        BigQueryEmbeddings rows = given.table().isPresent()
                ? BigQueryEmbeddings.ofTable(given.table().get(), id, embedding, given.readMethod())
                : BigQueryEmbeddings.ofQuery(sql(given), id, embedding, given.readMethod());
        return group.map(rows::groupedBy).orElse(rows);
    }

    private static String sql(BuilderArguments given) {
        return given.query().orElseGet(() -> text(given.queryFile().get()));
    }

    private static String text(String uri) {
        try {
            ResourceId file = FileSystems.matchSingleFileSpec(uri).resourceId();
            try (InputStream stream = Channels.newInputStream(FileSystems.open(file))) {
                return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
            }
        } catch (IOException unreadable) {
            throw new FaissIndexException(Kind.INVALID_SPEC, "--query-file: " + unreadable.getMessage(), unreadable);
        }
    }

    /** Ends what is at work, and deletes what it has written. */
    private void abandon(BeamBuild build) {
        StagesAtWork stages = StagesAtWork.ofProcess();
        stages.halt();
        try {
            stages.awaitEnd(TimeUnit.SECONDS.toMillis(SECONDS_TO_CLEAN_UP));
            cancel();
            awaitWorkers();
            build.abandon();
        } catch (InterruptedException impatient) {
            Thread.currentThread().interrupt();
        } catch (RuntimeException alsoFailed) {
            say("what the build has written may have stayed: " + alsoFailed.getMessage());
        } finally {
            stages.resume();
        }
    }

    private void cancel() {
        PipelineResult pipeline = running;
        if (pipeline != null && !pipeline.getState().isTerminal()) {
            try {
                pipeline.cancel();
            } catch (IOException failure) {
                say("the pipeline could not be cancelled: " + failure.getMessage());
            }
        }
    }

    /** Workers elsewhere go on for a while when the pipeline has been cancelled. */
    private void awaitWorkers() {
        PipelineResult pipeline = running;
        if (pipeline != null && !pipeline.getState().isTerminal()) {
            try {
                pipeline.waitUntilFinish(Duration.standardSeconds(SECONDS_TO_CLEAN_UP));
            } catch (RuntimeException failure) {
                LOG.debug("how the pipeline has ended", failure);
            }
        }
    }

    /** When the process has to end before the build has. */
    private void interrupt() {
        if (end.getCount() == 0) {
            return;
        }
        isInterrupted = true;
        StagesAtWork.ofProcess().halt();
        try {
            StagesAtWork.ofProcess().awaitEnd(TimeUnit.SECONDS.toMillis(SECONDS_TO_CLEAN_UP));
            if (running == null) {
                builder.interrupt();
            } else {
                cancel();
            }
            end.await(SECONDS_TO_CLEAN_UP, TimeUnit.SECONDS);
        } catch (InterruptedException impatient) {
            Thread.currentThread().interrupt();
        }
    }

    /** What of a failure a user can act on, in whatever runners have wrapped it. */
    private static FaissIndexException reason(Throwable failure) {
        Throwable last = failure;
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof FaissIndexException) {
                return (FaissIndexException) cause;
            }
            last = cause;
        }
        String message = last.getMessage();
        return new FaissIndexException(Kind.INTERNAL, message == null ? last.toString() : message, failure);
    }

    private static void say(String text) {
        System.err.println(line(text));
    }
}
