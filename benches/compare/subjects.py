"""What is compared, and how many floating point operations each of it takes, by arithmetic.

A multiplication and an addition are two operations. Pointwise work (norms, activations, softmax,
loss, Adam) is not counted: it is small, and what it costs shows as a lower rate.
"""

from collections import Counter
from dataclasses import dataclass

from presets import PRESETS

SIDES = (256, 512, 768, 1024)
BATCHES = (1, 2, 4, 8, 16)
TOKENS = 7  # of PRIM: one for the IoU, four for masks, a point and SAM's padding point


@dataclass(frozen=True)
class Subject:
    group: str
    name: str
    make: str  # what the peers are asked to make
    flop: float
    alone: bool = False  # in separate processes, so that peak memory is meaningful
    ours: bool = False  # PyTorch does not take part


@dataclass(frozen=True)
class Convolution:
    op: str  # "3x3", "1x1", or "up": 2×2 transposed, stride 2
    inputs: int
    outputs: int
    side: int  # of the input
    from_tap: bool = False  # the input is frozen and needs no gradient

    @property
    def macs(self):
        kernel = {"3x3": 9, "1x1": 1, "up": 4}[self.op]
        return kernel * self.inputs * self.outputs * self.side**2

    def __str__(self):
        op = {"3x3": "3×3", "1x1": "1×1", "up": "2×2 up"}[self.op]
        return f"{op} {self.inputs}→{self.outputs}, {self.side}²"


def block(inputs, outputs, side, from_tap=False):
    """A residual block: two 3×3 convolutions, and a 1×1 on the shortcut where channels differ."""
    yield Convolution("3x3", inputs, outputs, side, from_tap)
    yield Convolution("3x3", outputs, outputs, side)
    if inputs != outputs:
        yield Convolution("1x1", inputs, outputs, side, from_tap)


def pimm(taps, e, grid):
    """Every convolution of one forward pass, in order, with repetitions."""
    for depth, channels in enumerate(reversed(taps)):
        out = e >> depth
        yield from block(channels, out, grid, from_tap=True)
        for step in range(depth):
            yield Convolution("up", out, out, grid << step)
            yield from block(out, out, grid << step + 1)
    yield from block(2 * e, e, grid)
    for i in range(len(taps) - 1):
        out, side = e >> i + 1, grid << i + 1
        yield Convolution("up", 2 * out, out, side // 2)
        yield from block(2 * out, out, side)
    yield Convolution("1x1", out, 1, side)


def prim_macs(e, hidden, pixels):
    """The two-way transformer and the IoU head, one prompt."""
    inner = e // 2
    mix = 2 * TOKENS * pixels * inner  # scores and their weighted sum
    token_side, image_side = 2 * TOKENS * e * inner, 2 * pixels * e * inner
    across = token_side + image_side + mix
    layer = 4 * TOKENS * e * e + 2 * TOKENS**2 * e + 2 * TOKENS * e * hidden + 2 * across
    return 2 * layer + across + 2 * e * e + 4 * e


def step_flop(sizes, batch):
    """A product's gradients are two more of its size; where the input is frozen, one."""
    e, pixels = sizes.embedding, sizes.grid**2
    convolutions = sum((2 if c.from_tap else 3) * c.macs for c in pimm(sizes.taps, e, sizes.grid))
    hidden = (8 if e >= 256 else 2) * e  # as DecoderConfig::sam and ::tiny
    frozen = 3 * pixels * e * (e // 2)  # the first layer's three projections of the image
    return 2 * batch * (convolutions + 3 * prim_macs(e, hidden, pixels) - frozen)


def encoder_flop(sizes):
    """One image. Windows at the edge are padded; attention is counted over the padding, whose keys
    take part, the linear maps are not, though SAM multiplies the padding's zeros too."""
    c, grid, e = sizes.width, sizes.grid, sizes.embedding
    tokens = grid**2
    linear = 12 * tokens * c * c  # q, k, v, output, and the perceptron four times as wide

    def attention(side, count):
        return count * (2 * side**4 * c + 2 * side**3 * c)  # scores, sum; both axes' positions

    windows = attention(sizes.window, (-(-grid // sizes.window)) ** 2)
    whole = len(sizes.global_blocks)
    blocks = sizes.depth * linear + whole * attention(grid, 1) + (sizes.depth - whole) * windows
    patches = tokens * 3 * sizes.patch**2 * c
    neck = tokens * (c * e + 9 * e * e)
    return 2 * (patches + blocks + neck)


# Ours has two ways back: its own, and candle's, which adds every gradient to zeros.
PASSES = {"forward": "forward", "both": "fwd+bwd", "candle": "fwd+bwd by candle"}


def convolutions(preset, batches, passes=("forward", "both")):
    sizes = PRESETS[preset]
    distinct = Counter(
        Convolution(c.op, c.inputs, c.outputs, c.side)
        for c in pimm(sizes.taps, sizes.embedding, sizes.grid)
    )
    for batch in batches:
        for way in passes:
            factor = 1 if way == "forward" else 3
            group = "conv-candle" if way == "candle" else "conv"
            for c in sorted(distinct, key=lambda c: (c.op, c.side, c.inputs, c.outputs)):
                make = f"conv {c.op} {c.inputs} {c.outputs} {c.side} {batch} {way}"
                name = f"{c}, batch {batch}, {PASSES[way]}"
                yield Subject(group, name, make, 2 * factor * batch * c.macs)


def encoder(preset, side, group="encoder"):
    make = f"encoder {preset} {side}"
    flop = encoder_flop(PRESETS[preset].at(side))
    return Subject(group, f"encoder {preset}, {side}²", make, flop, alone=True)


def step(preset, side, batch, group="step"):
    name = f"training step {preset}, {side}², batch {batch}"
    flop = step_flop(PRESETS[preset].at(side), batch)
    return Subject(group, name, f"step {preset} {side} {batch}", flop, alone=True)


def grid(preset):
    """Grid points mode, counted as the official program does it: every prompt through PRIM and
    PIMM. What ours leaves out shows as a higher rate."""
    sizes = PRESETS[preset]
    e, pixels = sizes.embedding, sizes.grid**2
    hidden = (8 if e >= 256 else 2) * e
    convolutions = sum(c.macs for c in pimm(sizes.taps, e, sizes.grid))
    macs = convolutions + prim_macs(e, hidden, pixels)

    def of(side, way, ours):
        ways = {"one": "one mask drawn", "all": "all masks drawn", "plain": "the plain way"}
        name = f"grid {side}×{side} {preset}, {ways[way]}"
        make = f"grid {preset} {side} {way}"
        return Subject("grid", name, make, 2 * side**2 * macs, alone=True, ours=ours)

    yield of(9, "one", False)
    yield of(9, "all", True)
    yield of(9, "plain", True)
    yield of(25, "one", True)


def growth(preset):
    full = PRESETS[preset].input_side
    sides = [side for side in SIDES if side <= full]
    yield from (encoder(preset, side, "growth") for side in sides)
    yield from (step(preset, side, 8, "growth") for side in sides)
    yield from (step(preset, full, batch, "growth") for batch in BATCHES if batch != 8)


def of_group(group, preset, quick):
    side = PRESETS[preset].input_side
    match group:
        case "conv":
            return list(convolutions(preset, (2,) if quick else (1, 8)))
        case "conv-candle":
            return list(convolutions(preset, (2,) if quick else (1, 8), ("candle",)))
        case "encoder":
            return [encoder(preset, side)]
        case "step":
            return [step(preset, side, 8)]
        case "grid":
            return list(grid(preset))
        case "growth":
            return list(growth(preset))
