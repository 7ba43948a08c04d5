//! The memory that this process has, as the kernel states it.

/// Bytes of a field of `/proc/self/status` (proc_pid_status(5)): `VmRSS`, in memory; `VmHWM`, the most that was in
/// memory.
#[must_use]
pub fn memory_bytes(field: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let value = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))?;
    let kibibytes: u64 = value.trim().strip_suffix("kB")?.trim_end().parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// Makes `VmHWM` begin again with what is in memory (proc_pid_clear_refs(5)).
///
/// # Errors
/// Where the kernel does not allow it.
pub fn restart_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_at_least_what_is_in_memory_and_no_other_field_is_taken_for_it() {
        let resident = memory_bytes("VmRSS").unwrap();
        assert!(memory_bytes("VmHWM").unwrap() > 1 << 20 && resident > 1 << 20);
        assert_eq!(memory_bytes("Vm"), None);
    }
}
