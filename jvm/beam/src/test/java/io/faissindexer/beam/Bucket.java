package io.faissindexer.beam;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.channels.Channels;
import java.nio.channels.WritableByteChannel;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import org.apache.beam.sdk.extensions.gcp.auth.NoopCredentialFactory;
import org.apache.beam.sdk.io.FileSystems;
import org.apache.beam.sdk.io.fs.EmptyMatchTreatment;
import org.apache.beam.sdk.io.fs.ResourceId;
import org.apache.beam.sdk.options.PipelineOptionsFactory;
import org.apache.beam.sdk.util.MimeTypes;
import org.junit.rules.TestRule;
import org.junit.runner.Description;
import org.junit.runners.model.Statement;

/**
 * An empty bucket of an object store while a test runs: in memory, or of a server in a process of its own that speaks
 * as a cloud does, to which Beam's own file systems go.
 */
final class Bucket implements TestRule {
    static final String IN_MEMORY = "store";
    static final String GOOGLE = "gs";
    static final String AMAZON = "s3";

    private static final String NAME = "bucket";
    private static final String LOCALHOST = "127.0.0.1";
    private static final long SECONDS_TO_START = 60;

    private final String scheme;
    private final File log;
    private int port;

    /** A bucket for URIs of a scheme. */
    Bucket(String scheme) {
        this.scheme = scheme;
        log = new File(System.getProperty("java.io.tmpdir"), scheme + "-server.log");
    }

    /** Where an object with this name is. */
    String uri(String name) {
        return scheme + "://" + NAME + "/" + name;
    }

    /** What tells Beam, in its own options, where the server is. */
    List<String> options() {
        return options(scheme, LOCALHOST + ":" + port);
    }

    /** The same for a server of the test's own. */
    static List<String> options(String scheme, String address) {
        switch (scheme) {
            case GOOGLE:
                return List.of(
                        "--gcsEndpoint=http://" + address + "/storage/v1/",
                        "--project=project",
                        "--credentialFactoryClass=" + NoopCredentialFactory.class.getName());
            case AMAZON:
                return List.of(
                        "--endpoint=http://" + address,
                        "--awsRegion=eu-west-1",
                        "--awsCredentialsProvider={\"@type\":\"StaticCredentialsProvider\","
                                + "\"accessKeyId\":\"key\",\"secretAccessKey\":\"secret\"}");
            default:
                return List.of();
        }
    }

    /** The names of all objects. */
    Set<String> names() throws IOException {
        return FileSystems.match(uri("**"), EmptyMatchTreatment.ALLOW).metadata().stream()
                .map(object -> object.resourceId().toString().substring(uri("").length()))
                .collect(Collectors.toCollection(TreeSet::new));
    }

    void put(String name, byte[] bytes) throws IOException {
        ResourceId object = FileSystems.matchNewResource(uri(name), false);
        try (WritableByteChannel channel = FileSystems.create(object, MimeTypes.BINARY)) {
            ByteBuffer rest = ByteBuffer.wrap(bytes);
            while (rest.hasRemaining()) {
                channel.write(rest);
            }
        }
    }

    byte[] get(String name) throws IOException {
        ResourceId object = FileSystems.matchSingleFileSpec(uri(name)).resourceId();
        try (InputStream stream = Channels.newInputStream(FileSystems.open(object))) {
            return stream.readAllBytes();
        }
    }

    @Override
    public Statement apply(Statement test, Description description) {
        return scheme.equals(IN_MEMORY) ? inMemory(test) : served(test);
    }

    private static Statement inMemory(Statement test) {
        return new Statement() {
            @Override
            public void evaluate() throws Throwable {
                ObjectStore.clear();
                FileSystems.setDefaultPipelineOptions(PipelineOptionsFactory.create());
                test.evaluate();
            }
        };
    }

    private Statement served(Statement test) {
        return new Statement() {
            @Override
            public void evaluate() throws Throwable {
                Process server = start();
                try {
                    await(server);
                    FileSystems.setDefaultPipelineOptions(
                            PipelineOptionsFactory.fromArgs(options().toArray(new String[0])).create());
                    test.evaluate();
                } catch (Throwable failure) {
                    failure.addSuppressed(new IOException("what the server said is in " + log));
                    throw failure;
                } finally {
                    server.destroyForcibly().waitFor();
                }
            }
        };
    }

    private Process start() throws IOException {
        port = freePort();
        String[] command = scheme.equals(GOOGLE)
                ? command("fake-gcs-server", "-scheme", "http", "-backend", "memory", "-host", LOCALHOST,
                        "-port", Integer.toString(port), "-public-host", LOCALHOST + ":" + port)
                : command("fake_s3", LOCALHOST + ":" + port, NAME);
        return new ProcessBuilder(command).redirectErrorStream(true).redirectOutput(log).start();
    }

    private static String[] command(String program, String... arguments) {
        String directory = System.getProperty("faissindexer.test.objectStores", "");
        assertTrue("set FAISS_INDEXER_OBJECT_STORES to where scripts/set-up has put the servers of object stores",
                new File(directory, program).canExecute());
        String[] command = Arrays.copyOf(new String[] {new File(directory, program).getPath()}, 1 + arguments.length);
        System.arraycopy(arguments, 0, command, 1, arguments.length);
        return command;
    }

    /** Neither server says which port it has chosen in a way that the other does too. */
    private static int freePort() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getByName(LOCALHOST))) {
            return socket.getLocalPort();
        }
    }

    private void await(Process server) throws IOException, InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(SECONDS_TO_START);
        while (!isListening()) {
            assertTrue(scheme + ": the server has ended", server.isAlive());
            assertTrue(scheme + ": the server does not listen", System.nanoTime() < end);
            server.waitFor(20, TimeUnit.MILLISECONDS);
        }
        if (scheme.equals(GOOGLE)) {
            HttpRequest request = HttpRequest
                    .newBuilder(URI.create("http://" + LOCALHOST + ":" + port + "/storage/v1/b?project=project"))
                    .POST(HttpRequest.BodyPublishers.ofString("{\"name\": \"" + NAME + "\"}"))
                    .build();
            assertEquals(200, HttpClient.newHttpClient()
                    .send(request, HttpResponse.BodyHandlers.discarding()).statusCode());
        }
    }

    private boolean isListening() {
        try (Socket socket = new Socket()) {
            socket.connect(new InetSocketAddress(LOCALHOST, port));
            return true;
        } catch (IOException refused) {
            return false;
        }
    }
}
