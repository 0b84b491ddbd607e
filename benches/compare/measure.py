"""Timing: the parties take turns, one computing while the others wait."""

import math
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median

import system
from parties import Process

SETTLE = 0.2  # what is shorter than this is repeated once unmeasured before each turn
FOREIGN = 0.1  # share of the machine that others may have during a turn
ATTEMPTS = 4  # at a quiet turn
PATIENCE = 5.0  # seconds of work after which a party's disturbed turns are no longer repeated


@dataclass(frozen=True)
class Plan:
    """How a subject is timed."""

    rounds: int  # measured turns of each party
    warm: int  # unmeasured repetitions first
    turn: float  # seconds of measured work in a turn, at least


@dataclass
class Samples:
    """A party's figures for one subject: one time a round."""

    times: list = field(default_factory=list)
    faults: list = field(default_factory=list)  # pages a repetition
    foreign: list = field(default_factory=list)  # share of the machine that others had
    patience: float = PATIENCE
    peak: int = None  # bytes, the whole process
    start: int = None  # bytes, of which when the subject was made and nothing had run

    @property
    def time(self):
        return median(self.times)

    def as_json(self):
        known = [f for f in self.faults if f is not None]
        return {
            "seconds": self.time,
            "times": self.times,
            "faults": median(known) if known else None,
            "foreign": self.foreign,
            "peak_bytes": self.peak,
            "start_bytes": self.start,
        }


class Gauge:
    """The rate of a large f32 matrix product, ours and PyTorch's, measured along with the rest."""

    def __init__(self, parties, side, plan):
        self.flop, self.plan = 2 * side**3, plan
        self.processes = [Process(p) for p in parties if p.name != "torch"]
        self.rates = {p.party.name: [] for p in self.processes}
        for process in self.processes:
            process.ask(f"make sgemm {side}")
            process.run(3, 1)

    def begin(self):
        """From here on `rate` is another subject's."""
        self.first = {name: len(rates) for name, rates in self.rates.items()}
        self.measure()

    def measure(self):
        for process in self.processes:
            samples = Samples()
            turn(process, samples, process.run(1, 1)[0], self.plan)
            self.rates[process.party.name].append(self.flop / samples.time)

    def rate(self):
        """The faster party's median since `begin`."""
        return max(median(rates[self.first[name] :]) for name, rates in self.rates.items())

    def overall(self):
        return {name: median(rates) for name, rates in self.rates.items()}

    def close(self):
        for process in self.processes:
            process.close()


def warmed(party, subject, warm):
    process = Process(party)
    process.ask(f"make {subject.make}")
    start = system.resident(process.pid)
    return process, process.run(warm - 1, 1)[0], start


def turn(process, samples, last, plan):
    """One turn: long subjects once, short ones often enough to be timed, and the median taken. A
    turn during which others had much of the machine is repeated, and the quietest attempt counts.
    Long subjects are not repeated without end: the report says how many turns were disturbed."""
    settle, count = int(last < SETTLE), min(20, max(1, math.ceil(plan.turn / last)))
    best = None
    for _ in range(ATTEMPTS):
        watch = system.Watch(process.pid)
        times = process.run(settle, count)
        foreign, faults = watch.read()
        if best is None or foreign < best[1]:
            pages = None if faults is None else faults / (settle + count)
            best = (median(times), foreign, pages)
        if foreign is None or foreign < FOREIGN or samples.patience <= 0:
            break
        samples.patience -= sum(times)
        time.sleep(0.2)
    samples.times.append(best[0])
    samples.foreign.append(best[1])
    samples.faults.append(best[2])


def alone(parties, subject, gauge):
    """In processes of the subject's own. Where memory does not hold them all at once, each turn
    gets a fresh process."""
    plan = gauge.plan
    samples = {p.name: Samples() for p in parties}
    with ExitStack() as stack:
        processes = []
        for party in parties:
            largest = max((system.resident(p.pid) for p, _ in processes), default=0)
            left = system.memory_left()
            if left is not None and left < 2 * largest:
                break
            process, last, samples[party.name].start = warmed(party, subject, plan.warm)
            stack.enter_context(process)
            processes.append((process, last))
        fits = len(processes) == len(parties)
        if fits:
            for _ in range(plan.rounds):
                gauge.measure()
                for process, last in processes:
                    turn(process, samples[process.party.name], last, plan)
    if fits:
        for process, _ in processes:
            samples[process.party.name].peak = process.peak
        return samples
    for _ in range(plan.rounds):
        gauge.measure()
        for party in parties:
            process, last, samples[party.name].start = warmed(party, subject, plan.warm)
            with process:
                turn(process, samples[party.name], last, plan)
            samples[party.name].peak = max(samples[party.name].peak or 0, process.peak)
    return samples


def together(processes, subject, plan):
    """In processes that serve one subject after the other."""
    samples = {p.party.name: Samples() for p in processes}
    last = {}
    for process in processes:
        process.ask(f"make {subject.make}")
        last[process.party.name] = process.run(plan.warm - 1, 1)[0]
    for _ in range(plan.rounds):
        for process in processes:
            name = process.party.name
            turn(process, samples[name], last[name], plan)
    return samples
