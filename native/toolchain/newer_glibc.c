// What the objects of gcc 12 take from a glibc newer than 2.17.
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

// glibc 2.32. Zero, that several threads may run, is always right; reference counts then are atomic.
char __libc_single_threaded = 0;

static int read_urandom(unsigned char *bytes, size_t length) {
    int file = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        return -1;
    }
    while (length > 0) {
        ssize_t count = read(file, bytes, length);
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        } else if (count == 0 || errno != EINTR) {
            break;
        }
    }
    close(file);
    return length == 0 ? 0 : -1;
}

// glibc 2.25. Kernels before 3.17 have no getrandom.
int getentropy(void *buffer, size_t length) {
    unsigned char *bytes = buffer;
    if (length > 256) {
        errno = EIO;
        return -1;
    }
    while (length > 0) {
        long count = syscall(SYS_getrandom, bytes, length, 0);
        if (count > 0) {
            bytes += count;
            length -= (size_t)count;
        } else if (count == 0 || errno != EINTR) {
            return read_urandom(bytes, length);
        }
    }
    return 0;
}

// glibc 2.36, for std::random_device. Like that of glibc it cannot report that there is no source of randomness.
uint32_t arc4random(void) {
    uint32_t value;
    if (getentropy(&value, sizeof value) != 0) {
        abort();
    }
    return value;
}
