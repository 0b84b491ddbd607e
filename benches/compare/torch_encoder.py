"""SAM's image encoder as plain PyTorch modules.

Written from the description of the architecture (Kirillov et al., "Segment Anything"; Li et al.,
"Exploring Plain Vision Transformer Backbones"): a ViT whose blocks attend inside windows but for a
few global ones, positions relative along each axis added to the scores, and a convolutional neck.
Nothing is fused by hand: this is what eager PyTorch makes of the modules. Parameter names are SAM's.
"""

import torch
import torch.nn.functional as F
from torch import nn


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of [B, C, H, W]."""

    def __init__(self, channels, eps=1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x):
        centred = x - x.mean(1, keepdim=True)
        scaled = centred / torch.sqrt(centred.pow(2).mean(1, keepdim=True) + self.eps)
        return self.weight[:, None, None] * scaled + self.bias[:, None, None]


class Mlp(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)
        self.act = nn.GELU()

    def forward(self, x):
        return self.lin2(self.act(self.lin1(x)))


class Attention(nn.Module):
    """Self-attention over a square of tokens, [B, S, S, C]."""

    def __init__(self, width, heads, side):
        super().__init__()
        per_head = width // heads
        self.heads, self.scale = heads, per_head**-0.5
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.rel_pos_h = nn.Parameter(0.2 * torch.randn(2 * side - 1, per_head))
        self.rel_pos_w = nn.Parameter(0.2 * torch.randn(2 * side - 1, per_head))

    def forward(self, x):
        b, s, _, c = x.shape
        qkv = self.qkv(x).reshape(b, s * s, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).reshape(3, b * self.heads, s * s, -1).unbind(0)
        scores = (q * self.scale) @ k.transpose(1, 2)
        scores = self.add_positions(scores, q, s)
        mixed = scores.softmax(dim=-1) @ v
        mixed = mixed.reshape(b, self.heads, s, s, -1).permute(0, 2, 3, 1, 4)
        return self.proj(mixed.reshape(b, s, s, c))

    def add_positions(self, scores, q, s):
        """Adds, for every query, one number for each key row and one for each key column."""
        along = torch.arange(s)
        distance = along[:, None] - along[None, :] + s - 1
        square = q.reshape(-1, s, s, q.shape[-1])
        rows = torch.einsum("bhwc,hkc->bhwk", square, self.rel_pos_h[distance])
        columns = torch.einsum("bhwc,wkc->bhwk", square, self.rel_pos_w[distance])
        scores = scores.view(-1, s, s, s, s)
        scores = scores + rows[..., :, None] + columns[..., None, :]
        return scores.view(-1, s * s, s * s)


def to_windows(x, window):
    """[B, G, G, C] → [B·W·W, window, window, C], zeros beyond the lower and right edge."""
    b, g, _, c = x.shape
    pad = -g % window
    if pad:
        x = F.pad(x, (0, 0, 0, pad, 0, pad))
    count = (g + pad) // window
    x = x.view(b, count, window, count, window, c).transpose(2, 3)
    return x.reshape(-1, window, window, c)


def from_windows(x, window, g):
    """The reverse; what was padded is cut away."""
    count = -(-g // window)
    x = x.view(-1, count, count, window, window, x.shape[-1]).transpose(2, 3)
    x = x.reshape(-1, count * window, count * window, x.shape[-1])
    return x[:, :g, :g].contiguous()


class Block(nn.Module):
    def __init__(self, sizes, index):
        super().__init__()
        self.window = 0 if index in sizes.global_blocks else sizes.window
        self.norm1 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.attn = Attention(sizes.width, sizes.heads, self.window or sizes.grid)
        self.norm2 = nn.LayerNorm(sizes.width, eps=1e-6)
        self.mlp = Mlp(sizes.width, 4 * sizes.width)

    def forward(self, x):
        y = self.norm1(x)
        if self.window:
            y = from_windows(self.attn(to_windows(y, self.window)), self.window, x.shape[1])
        else:
            y = self.attn(y)
        x = x + y
        return x + self.mlp(self.norm2(x))


class Patches(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.proj = nn.Conv2d(3, sizes.width, sizes.patch, sizes.patch)

    def forward(self, x):
        return self.proj(x).permute(0, 2, 3, 1)


class ImageEncoder(nn.Module):
    """Pixels [B, 3, S, S] → taps [B, C, G, G] and the embedding [B, E, G, G]."""

    def __init__(self, sizes):
        super().__init__()
        self.sizes = sizes
        self.patch_embed = Patches(sizes)
        self.pos_embed = nn.Parameter(0.2 * torch.randn(1, sizes.grid, sizes.grid, sizes.width))
        self.blocks = nn.ModuleList(Block(sizes, i) for i in range(sizes.depth))
        e = sizes.embedding
        self.neck = nn.Sequential(
            nn.Conv2d(sizes.width, e, 1, bias=False),
            LayerNorm2d(e),
            nn.Conv2d(e, e, 3, padding=1, bias=False),
            LayerNorm2d(e),
        )

    def forward(self, pixels):
        x = self.patch_embed(pixels) + self.pos_embed
        taps = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in self.sizes.global_blocks[:-1]:
                taps.append(x.permute(0, 3, 1, 2).contiguous())
        return taps, self.neck(x.permute(0, 3, 1, 2))
