package io.faissindexer.internal;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.net.URLConnection;

/** A file inside the jar, and what its bytes hash to. */
final class Resource {
    private final URL url;
    private final String sha256;

    private Resource(URL url, String sha256) {
        this.url = url;
        this.sha256 = sha256;
    }

    static Resource named(String name) throws IOException {
        URL url = Resource.class.getResource(name);
        if (url == null) {
            throw new FileNotFoundException(name);
        }
        return new Resource(url, PrivateDirectory.sha256(open(url)));
    }

    String sha256() {
        return sha256;
    }

    InputStream open() throws IOException {
        return open(url);
    }

    private static InputStream open(URL url) throws IOException {
        URLConnection connection = url.openConnection();
        // A cached jar would be closed under another class loader that reads it (JDK-8205976).
        connection.setUseCaches(false);
        return connection.getInputStream();
    }
}
