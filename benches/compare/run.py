#!/usr/bin/env python3
"""Compares desam with PyTorch on this machine. See README.md."""

import argparse
import os
import re
import sys
import tempfile
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import measure
import report
import subjects
from parties import HERE, KEEP_MEMORY, Process, parties
from presets import PRESETS

GROUPS = ("conv", "encoder", "step", "grid", "growth")
# Only where it is named: it is no part of what is compared, but what candle's own way back costs.
EXTRA = ("conv-candle",)
# ‖ours − PyTorch's‖ / ‖PyTorch's‖ beyond which the two do not compute the same. PyTorch's own f32
# gradients of this decoder are up to 1e-3 from those in double precision.
LIMITS = {"gradients": 1e-3}
LIMIT = 1e-4


def arguments():
    p = argparse.ArgumentParser(description=__doc__)
    groups = f"{', '.join(GROUPS)} (all); or {', '.join(EXTRA)}"
    p.add_argument("groups", nargs="*", metavar="GROUP", help=groups)
    p.add_argument("--only", metavar="REGEX", help="subjects whose name matches")
    p.add_argument("--list", action="store_true", help="names the subjects and stops")
    p.add_argument("--preset", choices=PRESETS, help="sizes of the encoder (vit-b)")
    p.add_argument("--rounds", type=int, help="measured turns of each party (5)")
    p.add_argument("--warm", type=int, default=2, help="unmeasured repetitions first (2)")
    p.add_argument("--threads", type=int, default=2, help="of each party (2)")
    p.add_argument("--quick", action="store_true", help="a minute: the tiny preset, 3 rounds")
    p.add_argument("--growth-torch", action="store_true", help="PyTorch in `growth` too")
    p.add_argument("--no-check", action="store_true", help="leaves out the comparison of results")
    p.add_argument("--preload", metavar="LIB", help="allocator of tuned PyTorch, by LD_PRELOAD")
    p.add_argument("--peer", type=Path, help="our side's program (target/release/compare-peer)")
    p.add_argument("--json", type=Path, metavar="FILE", help="writes everything there")
    a = p.parse_args()
    known = (*GROUPS, *EXTRA)
    unknown = set(a.groups) - set(known)
    if unknown:
        p.error(f"no such group: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if a.warm < 1:
        p.error("--warm must be at least 1")
    a.groups = a.groups or list(GROUPS)
    a.preset = a.preset or ("tiny" if a.quick else "vit-b")
    a.rounds = a.rounds or (3 if a.quick else 5)
    target = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent.parent / "target"))
    a.peer = a.peer or target / "release" / "compare-peer"
    if not a.list and not a.peer.exists():
        p.error(f"{a.peer} is not there: cargo build --release -p desam-benches --bin compare-peer")
    return a


def chosen(a):
    found = [s for group in a.groups for s in subjects.of_group(group, a.preset, a.quick)]
    return [s for s in found if not a.only or re.search(a.only, s.name)]


def check(makes, everyone):
    """Lets PyTorch compute again what ours has computed, with the same weights and inputs."""
    found = {}
    ours, torch = everyone[0], everyone[1]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "check.safetensors"
        for make in makes:
            with Process(ours) as process:
                process.ask(f"make {make}")
                process.ask(f"dump {file}")
            with Process(torch) as process:
                process.ask(f"make {make}")
                words = process.ask(f"check {file}").split()
            differences = {k: float(v) for k, _, v in (w.partition("=") for w in words)}
            found[make] = differences
            text = ", ".join(f"{name} {value:.1e}" for name, value in differences.items())
            print(f"same computation? {make}: {text}", flush=True)
            for name, value in differences.items():
                if not value <= LIMITS.get(name, LIMIT):  # so that NaN is caught too
                    sys.exit(f"ours and PyTorch differ in {name}: times would mean nothing")
    return found


def to_check(a, todo):
    side, groups = PRESETS[a.preset].input_side, {s.make.split()[0] for s in todo}
    makes = {"encoder": f"encoder {a.preset} {side}", "step": f"step {a.preset} {side} 2"}
    makes["grid"] = f"grid {a.preset} 3 one"
    return [make for kind, make in makes.items() if kind in groups]


def timed(a, todo, everyone, gauge):
    rows = []
    with ExitStack() as stack:
        shared = []
        for subject in todo:
            gauge.begin()
            if subject.alone:
                only_ours = subject.ours or (subject.group == "growth" and not a.growth_torch)
                samples = measure.alone(everyone[:1] if only_ours else everyone, subject, gauge)
            else:
                shared = shared or [stack.enter_context(Process(p)) for p in everyone]
                samples = measure.together(shared, subject, gauge.plan)
            gauge.measure()
            rows.append(report.Row(subject, samples, gauge.rate()))
            print(rows[-1].text(), flush=True)
    return rows


def settings(a):
    keep = " ".join(f"{k}={v}" for k, v in KEEP_MEMORY.items())
    try:
        torch = version("torch")
    except PackageNotFoundError:
        sys.exit("PyTorch is not there: pip install torch numpy")
    return {
        "torch": torch,
        "tuned": f"LD_PRELOAD={a.preload}" if a.preload else keep,
        "preset": a.preset,
        "threads": a.threads,
        "rounds": a.rounds,
        "warm": a.warm,
    }


def main():
    a = arguments()
    todo = chosen(a)
    if a.list:
        print("\n".join(f"{s.group:8} {s.name}: {s.flop / 1e9:.2f} GFLOP" for s in todo))
        return
    if not todo:
        sys.exit("no subject has such a name (--list names them)")
    everyone = parties(a.peer, a.threads, a.preload)
    content = {"machine": report.machine(), "settings": settings(a)}
    print(report.opening(**content))
    content["same_computation"] = {} if a.no_check else check(to_check(a, todo), everyone)
    print(f"{report.HEAD}\n{report.UNITS}")
    plan = measure.Plan(a.rounds, a.warm, 0.02 if a.quick else 0.1)
    gauge = measure.Gauge(everyone, 1024 if a.quick else 2048, plan)
    rows = timed(a, todo, everyone, gauge)
    gauge.close()
    convolutions = [r for r in rows if r.subject.group == "conv"]
    content["convolutions"] = report.summary(convolutions) if convolutions else {}
    content |= {"sgemm_flops": gauge.overall(), "rows": [r.as_json() for r in rows]}
    print(report.closing(rows, content))
    if a.json:
        report.write(a.json, content)


if __name__ == "__main__":
    main()
