// Rust's std and the unwinder look for functions that a libc may have or not, and do without what is not found.
// These two keep such look-ups from making the library need libdl.so.2: dlsym and dladdr are used where the process
// has them (any JVM has), and find nothing where it has not. Linked with --wrap for both names.
extern void *__real_dlsym(void *handle, const char *name) __attribute__((weak));
extern int __real_dladdr(const void *address, void *found) __attribute__((weak));

void *__wrap_dlsym(void *handle, const char *name) {
    return __real_dlsym ? __real_dlsym(handle, name) : 0;
}

int __wrap_dladdr(const void *address, void *found) {
    return __real_dladdr ? __real_dladdr(address, found) : 0;
}
