"""Devices and precisions as types; a module of its own, because it decides nothing."""

from typing import Literal

Device = Literal["cpu", "cuda"]
Precision = Literal["float32", "bfloat16", "float16"]
