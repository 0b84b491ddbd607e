"""The parties of the comparison and their processes."""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent

# glibc's allocator configured to retain memory: nothing through mmap, which is unmapped when it is
# freed, and the heap never trimmed. Without this PyTorch faults in every large tensor again.
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(10**11),
    "MALLOC_TOP_PAD_": str(64 << 20),
}


@dataclass(frozen=True)
class Party:
    name: str
    command: list
    environment: dict = field(default_factory=dict)


def parties(peer, threads, preload=None):
    """Ours, PyTorch as it comes, PyTorch with an allocator that keeps memory."""
    ours = {"RAYON_NUM_THREADS": str(threads)}
    # The program's own default, and the user's choice where there is one.
    ours["CANDLE_NUM_THREADS"] = os.environ.get("CANDLE_NUM_THREADS", "1")
    torch = [sys.executable, str(HERE / "torch_peer.py"), str(threads)]
    openmp = {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    keep = {"LD_PRELOAD": preload} if preload else KEEP_MEMORY
    return [
        Party("ours", [str(peer)], ours),
        Party("torch", torch, openmp),
        Party("tuned", torch, openmp | keep),
    ]


class Process:
    """A peer at work. It computes only while it is asked to."""

    def __init__(self, party):
        self.party = party
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
        self.child = subprocess.Popen(
            party.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | party.environment,
        )
        self.peak = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def ask(self, line):
        try:
            self.child.stdin.write(line + "\n")
            self.child.stdin.flush()
            reply = self.child.stdout.readline()
        except BrokenPipeError:
            reply = ""
        if not reply:
            self.close()
            sys.exit(f"{self.party.name} failed at `{line}` (exit {self.child.returncode})")
        return reply.strip()

    def run(self, warm, count):
        """Times in seconds."""
        return [float(t) for t in self.ask(f"run {warm} {count}").split()]

    @property
    def pid(self):
        return self.child.pid

    def close(self):
        """Ends it and keeps its peak memory, in bytes, as the system counted it."""
        if self.child.returncode is not None:
            return
        self.child.stdin.close()
        _, status, usage = os.wait4(self.child.pid, 0)
        self.child.returncode = os.waitstatus_to_exitcode(status)
        self.child.stdout.close()
        self.peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)

