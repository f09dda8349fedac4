"""Presets of a configuration: settings that go together, under one key; and the grid that holds the whole brain."""

import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any, cast

from patch2loc.configuration.configuration_file import merged
from patch2loc.configuration.keys import WHOLE_BRAIN, Configuration
from patch2loc.configuration.method_names import configured
from patch2loc.configuration.validation import valid

# mm along x, y and z, at the center of the atlas's brain: ICBM152 with 10 mm around it, of SRI24 likewise.
WHOLE_BRAIN_MM = (192, 224, 160)

# One fold at 2 mm, in hours of a processor; of the detector that ships with the package, see config/README.md.
CPU_2MM: dict[str, Any] = {
    "atlas": "icbm152",
    "grid": {"shape": WHOLE_BRAIN, "spacing": 2.0},
    "patch": 12,
    "folds": [0],
    "methods": ["patch2loc", "patch2loc_robust_unpadded", "zscore"],
    "budget": "smoke",
    "detector": {"method": "patch2loc_robust_unpadded", "healthy": ["validation", "test"]},
    "training": {
        "network": "resnet18-narrow (2.7 M parameters)",
        "widths": [24, 48, 192, 192],
        "patches": 20480000,
        "batch": 512,
        "learning_rate": 0.008,
        "schedule": "one_cycle",
        "averaging": 0.99,
        "validation_patches": 16384,
        "validations": 40,
        "threads": 1,
        "memory_mb": 4000,
    },
    "score": {"stride": 1, "median_filter": 3, "threads": 1},
    "precision": "float32",
}
PRESETS: dict[str, dict[str, Any]] = {"cpu-2mm": CPU_2MM}


def completed(config: Mapping[str, Any]) -> Configuration:
    """Check a configuration and complete it: preset, defaults, and the methods and the grid that words stand for.

    Args:
        config: Keys and values of the files and of the command line, merged, not yet checked.

    Raises:
        InputError: The configuration is not valid (`validation.valid`).
    """
    preset = config.get("preset")
    # Of an unknown preset no other key is to seem missing.
    settings = {} if preset is None else PRESETS.get(str(preset), CPU_2MM)
    complete = valid(merged(deepcopy(settings), config))
    grid = complete["grid"]
    if cast(object, grid["shape"]) == WHOLE_BRAIN:
        grid["shape"] = whole_brain_shape(grid["spacing"])
    complete["methods"] = configured(complete["methods"])
    return complete


def whole_brain_shape(spacing: float) -> list[int]:
    """Voxels along x, y and z of the grid that holds the whole brain, even numbers: 96, 112 and 80 at 2 mm."""
    return [2 * math.ceil(extent / spacing / 2) for extent in WHOLE_BRAIN_MM]
