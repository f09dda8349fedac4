"""What a killed training goes on from."""

import io
from pathlib import Path
from typing import Any

import torch

from patch2loc.files import replacing


def write_checkpoint(path: str | Path, state: dict[str, Any]) -> None:
    """Write the state of a training, whole or not at all; `torch.load(path, weights_only=True)` reads it."""
    content = io.BytesIO()
    torch.save(state, content)  # to a file on a full disk it would fail without saying why
    with replacing(path) as partial:
        partial.write_bytes(content.getbuffer())
