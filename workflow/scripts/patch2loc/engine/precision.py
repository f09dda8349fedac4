"""Precisions that networks compute in, as number types of torch."""

import torch

from patch2loc.engine.choices import Precision

PRECISIONS: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
