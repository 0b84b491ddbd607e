"""What the operating system knows about processes and about the machine. Where there is no /proc
the answers are None or 0, and the comparison goes on without them."""

import os
import time
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")  # seconds
PAGE = os.sysconf("SC_PAGE_SIZE")  # bytes


def read(path):
    try:
        return Path(path).read_text()
    except OSError:
        return None


def stat(pid):
    """The fields of /proc/PID/stat from the state on, or nothing."""
    text = read(f"/proc/{pid}/stat")
    return text and text.rpartition(")")[2].split()


def faults(pid):
    """Pages a process has faulted in so far."""
    fields = stat(pid)
    return fields and int(fields[7])


def processor_seconds(pid):
    """What a process has used of all cores."""
    fields = stat(pid)
    return fields and (int(fields[11]) + int(fields[12])) * TICK


def busy_seconds():
    """What everything on this machine has used of all cores, and what its host has taken away."""
    text = read("/proc/stat")
    if text is None:
        return None
    user, nice, system, _idle, _wait, irq, softirq, stolen = map(int, text.split()[1:9])
    return (user + nice + system + irq + softirq + stolen) * TICK


def memory_left():
    """Bytes that could still be had."""
    text = read("/proc/meminfo")
    if text is None:
        return None
    line = next(x for x in text.splitlines() if x.startswith("MemAvailable"))
    return int(line.split()[1]) * 1024


def resident(pid):
    """Bytes a process has in memory."""
    text = read(f"/proc/{pid}/statm")
    return int(text.split()[1]) * PAGE if text else 0


class Watch:
    """What else the machine did, and what the process asked of it, since this was made."""

    def __init__(self, pid):
        self.pid = pid
        self.begin = self.now()

    def now(self):
        return (
            time.perf_counter(),
            busy_seconds(),
            processor_seconds(self.pid),
            faults(self.pid),
        )

    def read(self):
        """The share of all cores that others had, and pages faulted in."""
        if None in self.begin:
            return None, None
        wall, busy, own, faults = (b - a for a, b in zip(self.begin, self.now()))
        # A tick on either side belongs to no process.
        others = max(0.0, busy - own - 2 * TICK)
        return others / wall / (os.cpu_count() or 1), faults
