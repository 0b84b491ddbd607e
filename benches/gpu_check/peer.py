"""PyTorch's side of `gpu-check`: a line of JSON is answered with a line of JSON.

    {"about": true}                                  its version and the card
    {"make": REQUEST, "party": PARTY}                makes a subject
    {"warm": N, "count": N, "each": N, "host": BOOL} times it: {"ms": [...], "peak": bytes}

A party is `eager` (the modules of benches/compare, as they are written), `sdpa` (attention by
`scaled_dot_product_attention`, the positions' bias as its mask) or `compiled` (that by
`torch.compile`, a block at a time). Everything computes in bf16: the encoder's weights are bf16,
training is under autocast with f32 weights. On a processor, for trying this out, in f32.
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "compare"))

# What libraries print must not come between the answers.
ANSWERS = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)


def answer(**what):
    print(json.dumps(what), file=ANSWERS, flush=True)


try:
    import torch
    import torch.nn.functional as F
    import torch_encoder
    from presets import PRESETS
    from torch_decoder import MaskDecoder, paper_loss
except ImportError as error:
    sys.stdin.readline()
    answer(error=f"no PyTorch: {error}")
    sys.exit()

DEVICE = torch.device(sys.argv[1])
ON_GPU = DEVICE.type == "cuda"
NARROW = torch.bfloat16 if ON_GPU else torch.float32


def tensor(*shape, dtype=None, size=1.0):
    return size * torch.randn(*shape, device=DEVICE, dtype=dtype or NARROW)


def autocast():
    return torch.autocast(DEVICE.type, dtype=torch.bfloat16, enabled=ON_GPU)


def compiled(function):
    return torch.compile(function, dynamic=False)


class FusedAttention(torch_encoder.Attention):
    """The same with PyTorch's own attention; the bias is one tensor of all scores."""

    def forward(self, x):
        b, s, _, c = x.shape
        qkv = self.qkv(x).reshape(b, s * s, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = fused(q, k, v, self.rel_pos_h, self.rel_pos_w)
        return self.proj(mixed.transpose(1, 2).reshape(b, s, s, c))


def fused(q, k, v, rel_pos_h, rel_pos_w):
    """[B, heads, S², D] each → the same."""
    b, heads, tokens, depth = q.shape
    s = int(tokens**0.5)
    along = torch.arange(s, device=q.device)
    distance = along[:, None] - along[None, :] + s - 1
    square = q.reshape(b * heads, s, s, depth)
    rows = torch.einsum("bhwc,hkc->bhwk", square, rel_pos_h[distance])
    columns = torch.einsum("bhwc,wkc->bhwk", square, rel_pos_w[distance])
    bias = (rows[..., :, None] + columns[..., None, :]).reshape(b, heads, tokens, tokens)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class Encoder:
    def __init__(self, request, party):
        sizes, batch = PRESETS[request["preset"]], request["batch"]
        with torch.device(DEVICE):
            self.model = torch_encoder.ImageEncoder(sizes)
        self.model = self.model.eval().requires_grad_(False).to(NARROW)
        if party != "eager":
            for block in self.model.blocks:
                block.attn.__class__ = FusedAttention
        if party == "compiled":
            for block in self.model.blocks:
                block.compile(dynamic=False)
        self.pixels = tensor(batch, 3, sizes.input_side, sizes.input_side)

    @torch.inference_mode()
    def run(self):
        return self.model(self.pixels)


class Step:
    def __init__(self, request, party):
        sizes, n = PRESETS[request["preset"]], request["batch"]
        e, g, m = sizes.embedding, sizes.grid, sizes.grid << len(sizes.taps) - 1
        with torch.device(DEVICE):
            self.model = MaskDecoder(sizes.taps, e)
        self.call = compiled(self.model) if party == "compiled" else self.model
        self.taps = [tensor(n, c, g, g) for c in sizes.taps]
        self.embedding, self.dense = tensor(n, e, g, g), tensor(n, e, g, g)
        self.position, self.sparse = tensor(1, e, g, g), tensor(n, 2, e)
        self.mask = (tensor(n, 1, m, m) > 0.5).float()
        self.iou = tensor(n, 1, dtype=torch.float32)
        fastest = {"fused": True} if party == "compiled" and ON_GPU else {}
        self.adam = torch.optim.Adam(self.model.parameters(), lr=1e-4, **fastest)

    def run(self):
        self.adam.zero_grad()
        with autocast():
            logits, iou = self.call(
                self.taps, self.embedding, self.position, self.sparse, self.dense
            )
        paper_loss(logits.float(), iou.float(), self.mask, self.iou).backward()
        self.adam.step()


# Prompts that go through the decoder together; the official program's number.
AT_ONCE = 64


class Grid:
    """As the official program does it: every prompt through the whole decoder. The rule that chooses
    among the masks is left out; the best by IoU is fetched to the host."""

    def __init__(self, request, party):
        sizes, n = PRESETS[request["preset"]], request["points"] ** 2
        e, g = sizes.embedding, sizes.grid
        with torch.device(DEVICE):
            self.model = MaskDecoder(sizes.taps, e).eval().requires_grad_(False)
        self.taps = [tensor(1, c, g, g) for c in sizes.taps]
        self.embedding, self.position = tensor(1, e, g, g), tensor(1, e, g, g)
        self.sparse, self.dense = tensor(n, 2, e), tensor(1, e, g, g)

    def decode(self, sparse):
        n = len(sparse)
        taps = [tap.expand(n, -1, -1, -1) for tap in self.taps]
        embedding = self.embedding.expand(n, -1, -1, -1)
        dense = self.dense.expand(n, -1, -1, -1)
        return self.model(taps, embedding, self.position, sparse, dense)

    @torch.inference_mode()
    def run(self):
        with autocast():
            parts = [self.decode(chunk) for chunk in self.sparse.split(AT_ONCE)]
        logits, iou = (torch.cat(part) for part in zip(*parts))
        return (logits[iou.argmax()] > 0).cpu()


def attention(party, heads):
    def run(qkv, bias, positions):
        b, grid, _, triple = qkv.shape
        side, depth = (positions.shape[1] + 1) // 2, triple // 3 // heads
        qkv = qkv + bias.to(qkv.dtype)
        if side < grid:
            qkv = torch_encoder.to_windows(qkv, side)
        split = qkv.reshape(-1, side * side, 3, heads, depth).permute(2, 0, 3, 1, 4)
        q, k, v = split.unbind(0)
        tables = positions.to(qkv.dtype)
        if party == "eager":
            mixed = written_out(q, k, v, *tables)
        else:
            mixed = fused(q, k, v, *tables)
        mixed = mixed.transpose(1, 2).reshape(-1, side, side, heads * depth)
        return torch_encoder.from_windows(mixed, side, grid) if side < grid else mixed

    return run


def written_out(q, k, v, rel_pos_h, rel_pos_w):
    """As torch_encoder.Attention has it, without the projections."""
    b, heads, tokens, depth = q.shape
    s = int(tokens**0.5)
    q, k, v = (x.reshape(b * heads, tokens, depth) for x in (q, k, v))
    scores = (q * depth**-0.5) @ k.transpose(1, 2)
    along = torch.arange(s, device=q.device)
    distance = along[:, None] - along[None, :] + s - 1
    square = q.reshape(-1, s, s, depth)
    rows = torch.einsum("bhwc,hkc->bhwk", square, rel_pos_h[distance])
    columns = torch.einsum("bhwc,wkc->bhwk", square, rel_pos_w[distance])
    scores = scores.view(-1, s, s, s, s) + rows[..., :, None] + columns[..., None, :]
    return (scores.view(-1, tokens, tokens).softmax(-1) @ v).view(b, heads, tokens, depth)


def block(x, first, second, shortcut):
    """A residual block with the official gate, which is a half."""
    y = F.leaky_relu(F.instance_norm(F.conv2d(x, first, padding=1)), 0.01)
    y = 0.5 * F.instance_norm(F.conv2d(y, second, padding=1))
    return F.leaky_relu(y + F.instance_norm(F.conv2d(x, shortcut)), 0.01)


OPS = {
    "linear": F.linear,
    "linear_gelu": lambda x, w, b: F.gelu(F.linear(x, w, b)),
    "layer_norm": lambda x, w, b: F.layer_norm(x, x.shape[-1:], w, b, 1e-6),
    "convolution": lambda x, w: F.conv2d(x, w, padding=w.shape[2] // 2),
    "transposed": lambda x, w: F.conv_transpose2d(x, w, stride=2),
    "instance_norm": lambda x: F.leaky_relu(F.instance_norm(x), 0.01),
    "block": block,
    "bilinear": lambda x: F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False),
}


class Op:
    """One op. Where there are gradients its weights are f32, under autocast, as in training."""

    def __init__(self, request, party):
        name, shapes, self.backward = request["op"], request["shapes"], request["backward"]
        self.op = attention(party, request["heads"]) if name == "attention" else OPS[name]
        if party == "compiled":
            self.op = compiled(self.op)
        self.inputs = []
        for i, shape in enumerate(shapes):
            single = self.backward and i > 0
            dtype = torch.float32 if single else NARROW
            x = tensor(*shape, dtype=dtype, size=1.0 if i == 0 else 0.05)
            self.inputs.append(x.requires_grad_(self.backward))

    def run(self):
        if not self.backward:
            with torch.inference_mode():
                return self.op(*self.inputs)
        for x in self.inputs:
            x.grad = None
        with autocast():
            y = self.op(*self.inputs)
        y.backward(torch.ones_like(y))


KINDS = {"encoder": Encoder, "step": Step, "grid": Grid, "op": Op}


def wait():
    if ON_GPU:
        torch.cuda.synchronize(DEVICE)


def milliseconds(subject, each, host):
    wait()
    if host or not ON_GPU:
        begin = time.perf_counter()
        for _ in range(each):
            subject.run()
        wait()
        return 1e3 * (time.perf_counter() - begin) / each
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(each):
        subject.run()
    end.record()
    wait()
    return begin.elapsed_time(end) / each


def measure(subject, warm, count, each, host):
    for _ in range(warm):
        subject.run()
    wait()
    if ON_GPU:
        torch.cuda.reset_peak_memory_stats(DEVICE)
    ms = [milliseconds(subject, each, host) for _ in range(count)]
    return {"ms": ms, "peak": torch.cuda.max_memory_allocated(DEVICE) if ON_GPU else None}


def release():
    """What a subject held is given back, so that the other side finds room."""
    import gc

    gc.collect()
    torch.compiler.reset()
    if ON_GPU:
        torch.cuda.empty_cache()


def main():
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    card = torch.cuda.get_device_name(DEVICE) if ON_GPU else "the processor"
    subject = None
    for line in sys.stdin:
        question = json.loads(line)
        try:
            if "about" in question:
                answer(ok=f"{torch.__version__}, CUDA {torch.version.cuda}, on {card}")
            elif "make" in question:
                subject = None
                release()
                request = question["make"]
                subject = KINDS[request["kind"]](request, question["party"])
                answer(ok="ready")
            else:
                found = measure(subject, **question)
                subject = None
                release()
                answer(ok=found)
        except Exception as error:  # whatever it is, the other subjects are still to be timed
            subject = None
            release()
            answer(error=f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200])


if __name__ == "__main__":
    main()
