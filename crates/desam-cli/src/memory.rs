//! Total memory of the machine or, if smaller, the limit of the container.

/// Total memory in bytes; `None` where the system does not report it.
pub(crate) fn total_bytes() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(mem_total);
    let container = read("/sys/fs/cgroup/memory.max").and_then(|text| text.trim().parse().ok());
    machine.into_iter().chain(container).min()
}

/// `MemTotal` of Linux's `/proc/meminfo`, converted from KiB to bytes.
fn mem_total(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mem_total_is_converted_from_kib() {
        // proc_meminfo(5).
        let text = "MemTotal:       16314656 kB\nMemFree:         1234 kB\n";
        assert_eq!(mem_total(text), Some(16_314_656 * 1024));
        for text in ["", "MemTotal: many kB", "MemTotal: 5", "MemTotal: 18446744073709551615 kB"] {
            assert_eq!(mem_total(text), None, "{text}");
        }
    }
}
