"""Reading `.safetensors` with nothing but PyTorch: eight bytes of length, a JSON header, numbers."""

import json
import struct

import torch


def read(path):
    """Tensors of a file by name; f32 only, which is all that `peer` writes."""
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        numbers = bytearray(file.read())
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        if entry["dtype"] != "F32":
            raise ValueError(f"{path}: {name} is {entry['dtype']}, expected F32")
        begin, end = entry["data_offsets"]
        flat = torch.frombuffer(numbers, dtype=torch.float32, offset=begin, count=(end - begin) // 4)
        tensors[name] = flat.view(entry["shape"])
    return tensors
