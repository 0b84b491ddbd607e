"""PyTorch's side of the comparison: one process that obeys one line at a time on its input.

    make sgemm N
    make conv 3x3|1x1|up INPUTS OUTPUTS SIDE BATCH forward|both|candle
    make encoder PRESET SIDE
    make step PRESET SIDE BATCH
    make grid PRESET SIDE WAY
    run WARM COUNT      answers with COUNT times in seconds, after WARM unmeasured repetitions
    check FILE          computes what FILE holds and answers with the relative differences

Anything else about it is in the environment it was started with.
"""

import sys
import time

import torch
import torch.nn.functional as F

import tensors
from presets import PRESETS
from torch_decoder import MaskDecoder, paper_loss
from torch_encoder import ImageEncoder


def wave(*shape, phase=0.0):
    """Smooth numbers between −1 and 1, as `desam_benches::wave`."""
    count = torch.Size(shape).numel()
    return (torch.arange(count, dtype=torch.float64) * 0.7371 + phase).sin().float().view(shape)


def distance(ours, theirs):
    """‖a − b‖ / ‖b‖ over all numbers."""
    ours, theirs = ours.double(), theirs.double()
    return ((ours - theirs).norm() / theirs.norm()).item()


class Sgemm:
    def __init__(self, n):
        self.a, self.b = wave(int(n), int(n)), wave(int(n), int(n), phase=1.0)

    @torch.inference_mode()
    def run(self):
        self.a @ self.b


class Conv:
    """One convolution. A concatenated input comes whole, already concatenated."""

    def __init__(self, op, inputs, outputs, side, batch, passes):
        inputs, outputs, side, batch = map(int, (inputs, outputs, side, batch))
        self.both = passes != "forward"  # whichever way ours goes
        kernel = {"3x3": 3, "1x1": 1, "up": 2}[op]
        ends = (inputs, outputs) if op == "up" else (outputs, inputs)
        self.x = wave(batch, inputs, side, side).requires_grad_(self.both)
        self.weight = (0.05 * wave(*ends, kernel, kernel)).requires_grad_(self.both)
        self.op = {
            "3x3": lambda x, w: F.conv2d(x, w, padding=1),
            "1x1": F.conv2d,
            "up": lambda x, w: F.conv_transpose2d(x, w, stride=2),
        }[op]

    def run(self):
        if not self.both:
            with torch.inference_mode():
                self.op(self.x, self.weight)
            return
        self.x.grad = self.weight.grad = None
        y = self.op(self.x, self.weight)
        y.backward(torch.ones_like(y))


class Encoder:
    def __init__(self, preset, side):
        sizes = PRESETS[preset].at(int(side))
        self.model = ImageEncoder(sizes).eval().requires_grad_(False)
        self.pixels = wave(1, 3, sizes.input_side, sizes.input_side, phase=0.5)

    @torch.inference_mode()
    def run(self):
        return self.model(self.pixels)

    def check(self, file):
        load(self.model, file, "image_encoder.")
        self.pixels = file["input.pixels"]
        taps, embedding = self.run()
        found = {f"tap{i}": tap for i, tap in enumerate(taps)} | {"embedding": embedding}
        return {name: distance(x, file[f"output.{name}"]) for name, x in found.items()}


class Step:
    """A step of training: prediction, loss, gradients, Adam. The features are frozen."""

    def __init__(self, preset, side, batch):
        sizes, n = PRESETS[preset].at(int(side)), int(batch)
        e, g, m = sizes.embedding, sizes.grid, sizes.grid << len(sizes.taps) - 1
        self.model = MaskDecoder(sizes.taps, e)
        self.taps = [wave(n, c, g, g, phase=i) for i, c in enumerate(sizes.taps)]
        self.embedding = wave(n, e, g, g, phase=9.0)
        self.position = wave(1, e, g, g, phase=5.0)
        self.sparse, self.dense = wave(n, 2, e, phase=3.0), wave(n, e, g, g, phase=4.0)
        self.mask = (wave(n, 1, m, m) > 0.5).float()
        self.iou = wave(n, 1, phase=6.0)
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4)

    def forward(self):
        out = self.model(self.taps, self.embedding, self.position, self.sparse, self.dense)
        return out, paper_loss(*out, self.mask, self.iou)

    def run(self):
        self.adam.zero_grad()
        _, loss = self.forward()
        loss.backward()
        self.adam.step()

    def check(self, file):
        load(self.model, file, "mask_decoder.")
        self.taps = [file[f"input.tap{i}"] for i in range(len(self.taps))]
        for name in ("embedding", "position", "sparse", "dense", "mask", "iou"):
            setattr(self, name, file[f"input.{name}"])
        self.adam.zero_grad()
        (logits, iou), loss = self.forward()
        loss.backward()
        found = {"logits": logits.detach(), "iou": iou.detach(), "loss": loss.detach()}
        differences = {name: distance(x, file[f"output.{name}"]) for name, x in found.items()}
        return differences | {"gradients": self.gradients(file)}

    def gradients(self, file):
        """Of all parameters at once: some alone are nothing but rounding (key biases)."""
        pairs = []
        for name, p in self.model.named_parameters():
            other = file.get(f"gradient.mask_decoder.{name}")
            if p.grad is None and other is None:
                continue
            zero = torch.zeros_like(p)
            pairs.append([(zero if g is None else g).flatten() for g in (p.grad, other)])
        return distance(*(torch.cat(side) for side in zip(*pairs)))


# Prompts that go through the decoder together. The official program takes 64; at ViT-B's width that
# was killed at 16 GB.
AT_ONCE = 16


class Grid:
    """Grid points mode as the official program does it: each chunk of prompts through the whole
    decoder, the image's features repeated for each prompt. The rule that chooses among the masks is
    left out."""

    def __init__(self, preset, side, way):
        sizes, n = PRESETS[preset], int(side) ** 2
        e, g = sizes.embedding, sizes.grid
        self.model = MaskDecoder(sizes.taps, e).eval().requires_grad_(False)
        self.taps = [wave(1, c, g, g, phase=i) for i, c in enumerate(sizes.taps)]
        self.embedding = wave(1, e, g, g, phase=9.0)
        self.position = wave(1, e, g, g, phase=5.0)
        self.sparse, self.dense = wave(n, 2, e, phase=3.0), wave(1, e, g, g, phase=4.0)

    @torch.inference_mode()
    def decode(self, sparse):
        n = len(sparse)
        taps = [torch.repeat_interleave(tap, n, dim=0) for tap in self.taps]
        embedding = torch.repeat_interleave(self.embedding, n, dim=0)
        dense = self.dense.expand(n, -1, -1, -1)
        return self.model(taps, embedding, self.position, sparse, dense)

    def run(self):
        # What is kept of a chunk is its masks and their IoU.
        return [self.decode(chunk) for chunk in self.sparse.split(AT_ONCE)]

    def check(self, file):
        load(self.model, file, "mask_decoder.")
        self.taps = [file[f"input.tap{i}"] for i in range(len(self.taps))]
        for name in ("embedding", "position", "sparse", "dense"):
            setattr(self, name, file[f"input.{name}"])
        chunks = self.run()
        logits, iou = (torch.cat(part) for part in zip(*chunks))
        best = int(file["input.best"])
        found = {"iou": iou, "logits": logits[best : best + 1]}
        return {name: distance(x, file[f"output.{name}"]) for name, x in found.items()}


# What official checkpoints hold and DeSAM does not use.
UNUSED = ("output_upscaling.", "output_hypernetworks_mlps.")


def load(model, file, prefix):
    state = {k.removeprefix(prefix): v for k, v in file.items() if k.startswith(prefix)}
    state = {k: v for k, v in state.items() if not k.startswith(UNUSED)}
    model.load_state_dict(state)


SUBJECTS = {"sgemm": Sgemm, "conv": Conv, "encoder": Encoder, "step": Step, "grid": Grid}


def timed(subject):
    begin = time.perf_counter()
    subject.run()
    return time.perf_counter() - begin


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    subject = None
    for line in sys.stdin:
        match line.split():
            case ["make", kind, *sizes]:
                subject = None  # gives its memory back first
                subject = SUBJECTS[kind](*sizes)
                reply = "ready"
            case ["run", warm, count]:
                for _ in range(int(warm)):
                    subject.run()
                reply = " ".join(repr(timed(subject)) for _ in range(int(count)))
            case ["check", path]:
                differences = subject.check(tensors.read(path))
                reply = " ".join(f"{name}={value!r}" for name, value in differences.items())
            case _:
                sys.exit(f"torch_peer: what is {line!r}?")
        print(reply, flush=True)


if __name__ == "__main__":
    main()
