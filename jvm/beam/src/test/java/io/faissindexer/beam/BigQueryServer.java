package io.faissindexer.beam;

import com.sun.net.httpserver.HttpExchange;
import com.sun.net.httpserver.HttpServer;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentSkipListSet;

/** What BigQuery says about every table and every query, for programs in other processes. */
final class BigQueryServer implements AutoCloseable {
    private static final String SCHEMA = "{\"fields\":[{\"name\":\"entityId\",\"type\":\"INTEGER\"},"
            + "{\"name\":\"embedding\",\"type\":\"FLOAT\",\"mode\":\"REPEATED\"}]}";

    private final HttpServer server = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    private final Set<String> requests = new ConcurrentSkipListSet<>();

    BigQueryServer() throws IOException {
        server.createContext("/", this::answer);
        server.start();
    }

    /** Where it is. */
    String address() {
        return "http://127.0.0.1:" + server.getAddress().getPort();
    }

    /** What it was asked, as method and path, however often. */
    Set<String> requests() {
        return requests;
    }

    @Override
    public void close() {
        server.stop(0);
    }

    private void answer(HttpExchange exchange) throws IOException {
        String asked = exchange.getRequestMethod() + " " + exchange.getRequestURI().getPath();
        exchange.getRequestBody().readAllBytes();
        requests.add(asked);
        String answer = asked.startsWith("POST")
                ? "{\"statistics\":{\"query\":{\"schema\":" + SCHEMA + "}}}"
                : "{\"type\":\"TABLE\",\"numBytes\":\"0\",\"schema\":" + SCHEMA + "}";
        byte[] bytes = answer.getBytes(StandardCharsets.UTF_8);
        exchange.getResponseHeaders().add("Content-Type", "application/json");
        exchange.sendResponseHeaders(200, bytes.length);
        exchange.getResponseBody().write(bytes);
        exchange.close();
    }
}
