//! The memory of the test's process.

/// Bytes of a field of `/proc/self/status` (proc_pid_status(5)), such as `VmHWM`.
pub(crate) fn memory_bytes(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':')).unwrap();
    value.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}
