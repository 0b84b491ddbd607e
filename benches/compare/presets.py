"""Sizes of SAM's image encoders, those of `desam_encoder::VitConfig`'s presets."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class VitSizes:
    input_side: int
    patch: int
    width: int
    depth: int
    heads: int
    window: int
    global_blocks: tuple
    embedding: int

    @property
    def grid(self):
        return self.input_side // self.patch

    @property
    def taps(self):
        """Channels of the taps: one after every global block but the last."""
        return [self.width] * (len(self.global_blocks) - 1)

    def at(self, input_side):
        return replace(self, input_side=input_side)


PRESETS = {
    "tiny": VitSizes(256, 16, 96, 8, 4, 7, (1, 3, 5, 7), 64),
    "vit-b": VitSizes(1024, 16, 768, 12, 12, 14, (2, 5, 8, 11), 256),
    "vit-l": VitSizes(1024, 16, 1024, 24, 16, 14, (5, 11, 17, 23), 256),
    "vit-h": VitSizes(1024, 16, 1280, 32, 16, 14, (7, 15, 23, 31), 256),
}
