"""Tables for people and JSON for programs."""

import json
import math
import platform
import time
from pathlib import Path

from measure import FOREIGN

HEAD = (
    f"{'':46}{'ours':>10}{'torch':>10}{'tuned':>10} │{'ours':>6}{'torch':>6}{'tuned':>6}"
    f"{'of sgemm':>10} │{'×torch':>7}{'×tuned':>7}"
)
UNITS = f"{'':46}{'':>30} │{'GFLOP/s':>18}{'ours':>10} │"


def seconds(t):
    return f"{1000 * t:.2f} ms" if t < 1 else f"{t:.2f} s"


class Row:
    """A subject's samples by party, and what follows from them."""

    def __init__(self, subject, samples, sgemm):
        self.subject, self.samples, self.sgemm = subject, samples, sgemm

    def rate(self, name):
        return self.subject.flop / self.samples[name].time

    def speedup(self, name):
        """How many times faster ours is."""
        return self.samples[name].time / self.samples["ours"].time

    def peak(self, name):
        return self.samples[name].peak

    def work(self, name):
        """Of the peak, what has come since the subject was made: not the libraries, the weights
        and the inputs."""
        return max(1, self.samples[name].peak - self.samples[name].start)

    def others(self):
        return [name for name in self.samples if name != "ours"]

    def text(self):
        names = ("ours", "torch", "tuned")

        def each(f, width):
            return "".join(f"{f(n) if n in self.samples else '':>{width}}" for n in names)

        share = f"{100 * self.rate('ours') / self.sgemm:.0f} %"
        times = each(lambda n: seconds(self.samples[n].time), 10)
        rates = each(lambda n: f"{self.rate(n) / 1e9:.0f}", 6)
        factors = "".join(f"{self.speedup(n):>7.2f}" for n in self.others())
        line = f"{self.subject.name:46}{times} │{rates}{share:>10} │{factors}"
        if not self.subject.alone:
            return line
        peak = self.memory("peak memory", self.peak)
        return f"{line}\n{peak}\n{self.memory('of it for the work', self.work)}"

    def memory(self, title, of):
        peaks = "".join(f"{of(n) / 1e6:>7.0f} MB" for n in self.samples)
        shares = "".join(f"{100 * of('ours') / of(n):>6.0f}%" for n in self.others())
        return f"{'    ' + title:46}{peaks:30} │{'':28} │{shares}"

    def as_json(self):
        return {
            "group": self.subject.group,
            "name": self.subject.name,
            "flop": self.subject.flop,
            "sgemm_flops": self.sgemm,
            "parties": {name: s.as_json() for name, s in self.samples.items()},
            "speedup": {name: self.speedup(name) for name in self.others()},
            "share_of_sgemm": {name: self.rate(name) / self.sgemm for name in self.samples},
        }


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def summary(rows):
    """Of convolutions: geometric mean and worst ratio, against each of the others."""
    out = {}
    for name in rows[0].others():
        worst = min(rows, key=lambda r: r.speedup(name))
        out[name] = {
            "count": len(rows),
            "geometric_mean": geometric_mean([r.speedup(name) for r in rows]),
            "worst": worst.speedup(name),
            "worst_subject": worst.subject.name,
        }
    return out


def quietness(rows):
    """How far the machine was ours alone."""
    foreign = [f for r in rows for s in r.samples.values() for f in s.foreign if f is not None]
    if not foreign:
        return "what else ran on this machine is not known"
    disturbed = sum(f >= FOREIGN for f in foreign)
    return (
        f"{disturbed} of {len(foreign)} turns had other work on more than {100 * FOREIGN:.0f} % of "
        f"the machine; at most {100 * max(foreign):.0f} %"
    )


def machine():
    """What the figures belong to."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = [x.partition(":")[2].strip() for x in lines if x.startswith("model name")]
    except OSError:
        models = []
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(models) or None,
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def opening(machine, settings):
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {settings['threads']} threads each; "
        f"PyTorch {settings['torch']}\ntuned: {settings['tuned']}"
    )


def closing(rows, content):
    rates = ", ".join(f"{name} {r / 1e9:.0f}" for name, r in content["sgemm_flops"].items())
    lines = [f"sgemm, GFLOP/s: {rates}; `of sgemm` is of the faster, as measured beside the subject"]
    lines += [
        f"{s['count']} convolutions, ×{name}: geometric mean {s['geometric_mean']:.2f}, "
        f"worst {s['worst']:.2f} ({s['worst_subject']})"
        for name, s in content["convolutions"].items()
    ]
    return "\n".join([*lines, quietness(rows)])


def write(path, content):
    Path(path).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
