"""DeSAM's mask decoder and its loss as plain PyTorch modules, under the official parameter names.

Written from the description of the modules: PRIM is SAM's two-way transformer with its IoU head,
PIMM a small U-Net of squeeze-excitation residual blocks over the encoder's taps. What the official
blocks compute is computed here too, squeeze-excitation included.
"""

import torch
import torch.nn.functional as F
from torch import nn

MASK_TOKENS = 4
HEADS = 8


class Convolution(nn.Module):
    """A convolution without bias whose weight is called `conv.weight`."""

    def __init__(self, inputs, outputs, kernel):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(self, x):
        return self.conv(x)


class Up(nn.Module):
    """A 2×2 transposed convolution of stride 2 without bias."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=False)

    def forward(self, x):
        return self.conv(x)


class Squeeze(nn.Module):
    """Squeeze-excitation: a gate for each channel from its mean."""

    def __init__(self, channels):
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc = nn.Sequential(
            nn.Linear(channels, hidden, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(hidden, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return x * self.fc(x.mean((2, 3)))[:, :, None, None]


class SeResBlock(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = Convolution(inputs, outputs, 3)
        self.conv2 = Convolution(outputs, outputs, 3)
        self.conv3 = Convolution(inputs, outputs, 1)
        self.norm1, self.norm2, self.norm3 = (nn.InstanceNorm2d(outputs) for _ in range(3))
        self.act = nn.LeakyReLU(0.01, inplace=True)
        self.se = Squeeze(outputs)
        self.same = inputs == outputs

    def forward(self, x):
        y = self.act(self.norm1(self.conv1(x)))
        y = self.se(self.norm2(self.conv2(y)))
        y += x if self.same else self.norm3(self.conv3(x))
        return self.act(y)


class ContextBlock(nn.Module):
    def __init__(self, inputs, channels, depth):
        super().__init__()
        self.block_init = SeResBlock(inputs, channels)
        self.residual_block = nn.ModuleList(
            nn.Sequential(Up(channels, channels), SeResBlock(channels, channels))
            for _ in range(depth)
        )

    def forward(self, x):
        x = self.block_init(x)
        for step in self.residual_block:
            x = step(x)
        return x


class UpStep(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.transp_conv = Up(inputs, outputs)
        self.res_block = SeResBlock(2 * outputs, outputs)

    def forward(self, x, skip):
        return self.res_block(torch.cat((self.transp_conv(x), skip), dim=1))


class Pimm(nn.Module):
    """Taps [N, C, G, G] in depth order and mask embeddings [N, E, G, G] → logits [N, 1, M, M]."""

    def __init__(self, taps, e):
        super().__init__()
        levels = len(taps)
        self.conv_blocks_context = nn.ModuleList(
            ContextBlock(channels, e >> d, d) for d, channels in enumerate(reversed(taps))
        )
        self.mask_embedding_fusion = SeResBlock(2 * e, e)
        self.conv_blocks_localization = nn.ModuleList(
            UpStep(e >> i, e >> i + 1) for i in range(levels - 1)
        )
        self.seg_outputs = nn.ModuleList(
            nn.Conv2d(e >> i + 1, 1, 1, bias=False) for i in range(levels - 1)
        )

    def forward(self, taps, mask_embedding):
        skips = [block(tap) for block, tap in zip(self.conv_blocks_context, reversed(taps))]
        x = self.mask_embedding_fusion(torch.cat((mask_embedding, skips[0]), dim=1))
        for step, skip in zip(self.conv_blocks_localization, skips[1:]):
            x = step(x, skip)
        return self.seg_outputs[-1](x)


class CrossAttention(nn.Module):
    def __init__(self, width, inner):
        super().__init__()
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, inner) for _ in range(3))
        self.out_proj = nn.Linear(inner, width)

    def forward(self, q, k, v):
        q, k, v = self.q_proj(q), self.k_proj(k), self.v_proj(v)
        q, k, v = (x.unflatten(2, (HEADS, -1)).transpose(1, 2) for x in (q, k, v))
        scores = (q @ k.transpose(2, 3)) / q.shape[-1] ** 0.5
        return self.out_proj((scores.softmax(-1) @ v).transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.lin1, self.lin2 = nn.Linear(width, hidden), nn.Linear(hidden, width)

    def forward(self, x):
        return self.lin2(F.relu(self.lin1(x)))


class TwoWayBlock(nn.Module):
    def __init__(self, e, hidden, first):
        super().__init__()
        self.first = first
        self.self_attn = CrossAttention(e, e)
        self.cross_attn_token_to_image = CrossAttention(e, e // 2)
        self.mlp = Perceptron(e, hidden)
        self.cross_attn_image_to_token = CrossAttention(e, e // 2)
        self.norm1, self.norm2, self.norm3, self.norm4 = (nn.LayerNorm(e) for _ in range(4))

    def forward(self, tokens, image, token_pe, image_pe):
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pe
            tokens = tokens + self.self_attn(q, q, tokens)
        tokens = self.norm1(tokens)
        q, k = tokens + token_pe, image + image_pe
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(q, k, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        q, k = tokens + token_pe, image + image_pe
        image = self.norm4(image + self.cross_attn_image_to_token(k, q, tokens))
        return tokens, image


class TwoWayTransformer(nn.Module):
    def __init__(self, e, hidden):
        super().__init__()
        self.layers = nn.ModuleList(TwoWayBlock(e, hidden, i == 0) for i in range(2))
        self.final_attn_token_to_image = CrossAttention(e, e // 2)
        self.norm_final_attn = nn.LayerNorm(e)

    def forward(self, image, image_pe, token_pe):
        tokens = token_pe
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pe, image_pe)
        q, k = tokens + token_pe, image + image_pe
        tokens = tokens + self.final_attn_token_to_image(q, k, image)
        return self.norm_final_attn(tokens), image


class IouHead(nn.Module):
    def __init__(self, e):
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(e, e), nn.Linear(e, e), nn.Linear(e, MASK_TOKENS)]
        )

    def forward(self, x):
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class MaskDecoder(nn.Module):
    """Features of N images with a prompt each → mask logits [N, 1, M, M] and IoU [N, 1]."""

    def __init__(self, taps, e):
        super().__init__()
        # SAM's perceptron is 8 E wide, the tiny preset's 2 E.
        self.transformer = TwoWayTransformer(e, 8 * e if e >= 256 else 2 * e)
        self.iou_token = nn.Embedding(1, e)
        self.mask_tokens = nn.Embedding(MASK_TOKENS, e)
        self.iou_prediction_head = IouHead(e)
        self.pimm = Pimm(taps, e)

    def forward(self, taps, embedding, position, sparse, dense):
        own = torch.cat((self.iou_token.weight, self.mask_tokens.weight))
        tokens = torch.cat((own.expand(len(sparse), -1, -1), sparse), dim=1)
        image = (embedding + dense).flatten(2).transpose(1, 2)
        tokens, image = self.transformer(image, position.flatten(2).transpose(1, 2), tokens)
        iou = self.iou_prediction_head(tokens[:, 0])
        mask_embedding = image.transpose(1, 2).reshape(embedding.shape)
        return self.pimm(taps, mask_embedding), iou[:, :1]


def paper_loss(logits, iou, mask, iou_target):
    """The paper's Eq. 1: soft Dice (squared denominators) + cross-entropy + 10 × square error."""
    p = logits.sigmoid()
    overlap, sizes = (p * mask).sum((2, 3)), p.pow(2).sum((2, 3)) + mask.pow(2).sum((2, 3))
    dice = (1 - (2 * overlap + 1e-5) / (sizes + 1e-5)).mean()
    cross_entropy = F.binary_cross_entropy_with_logits(logits, mask)
    return dice + cross_entropy + 10 * F.mse_loss(iou, iou_target)
