package io.faissindexer.internal;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Set;

/**
 * A directory that nobody but this user can write to. A library in it was put there by this user, and is only run
 * when its bytes are the expected ones.
 */
final class PrivateDirectory {
    private static final Set<PosixFilePermission> OWNER_ONLY = PosixFilePermissions.fromString("rwx------");

    private final Path path;

    private PrivateDirectory(Path path) {
        this.path = path;
    }

    /** Opens the private directory below another one and creates it when it is missing. */
    static PrivateDirectory below(Path parent) throws IOException {
        String user = System.getProperty("user.name", "unknown").replaceAll("[^A-Za-z0-9._-]", "_");
        Path path = parent.toAbsolutePath().resolve("faiss-indexer-" + user);
        Files.createDirectories(parent);
        try {
            Files.createDirectory(path, PosixFilePermissions.asFileAttribute(OWNER_ONLY));
        } catch (FileAlreadyExistsException present) {
            requirePrivate(path);
        }
        return new PrivateDirectory(path);
    }

    private static void requirePrivate(Path path) throws IOException {
        if (!Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
            throw new IOException(path + " is not a directory");
        }
        // The owner of a file made just now is this process' user, whatever the JVM calls it.
        Path probe = Files.createTempFile(path, ".owner", null);
        try {
            if (!Files.getOwner(probe).equals(Files.getOwner(path, LinkOption.NOFOLLOW_LINKS))) {
                throw new IOException(path + " belongs to another user");
            }
        } finally {
            Files.delete(probe);
        }
        Set<PosixFilePermission> permissions = Files.getPosixFilePermissions(path, LinkOption.NOFOLLOW_LINKS);
        if (!OWNER_ONLY.containsAll(permissions)) {
            throw new IOException(
                    path + " is open to other users (" + PosixFilePermissions.toString(permissions) + ")");
        }
    }

    /** The file with the bytes of a resource, which is written unless it is there already. */
    Path holding(Resource resource, String name) throws IOException {
        Path file = path.resolve(name);
        if (Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            try (InputStream present = Files.newInputStream(file)) {
                if (sha256(present).equals(resource.sha256())) {
                    return file;
                }
            }
        }
        Path draft = write(resource, "." + name);
        return Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    }

    /** A file of its own with the bytes of a resource, for the caller to delete. */
    Path copyOf(Resource resource, String name) throws IOException {
        return write(resource, "." + name + ".copy");
    }

    private Path write(Resource resource, String name) throws IOException {
        Path draft = path.resolve(name + "." + System.nanoTime() + "." + Thread.currentThread().getId());
        try (InputStream source = resource.open();
                OutputStream sink = Files.newOutputStream(draft, StandardOpenOption.CREATE_NEW)) {
            byte[] block = new byte[1 << 16];
            for (int length = source.read(block); length >= 0; length = source.read(block)) {
                sink.write(block, 0, length);
            }
        } catch (IOException failure) {
            Files.deleteIfExists(draft);
            throw failure;
        }
        return draft;
    }

    static String sha256(InputStream source) throws IOException {
        try {
            MessageDigest digest = MessageDigest.getInstance("SHA-256");
            byte[] block = new byte[1 << 16];
            try (DigestInputStream digested = new DigestInputStream(source, digest)) {
                while (digested.read(block) >= 0) {
                    continue;
                }
            }
            StringBuilder text = new StringBuilder();
            for (byte octet : digest.digest()) {
                text.append(Character.forDigit(octet >> 4 & 15, 16)).append(Character.forDigit(octet & 15, 16));
            }
            return text.toString();
        } catch (NoSuchAlgorithmException impossible) {
            throw new IllegalStateException("every Java platform has SHA-256", impossible);
        }
    }
}
