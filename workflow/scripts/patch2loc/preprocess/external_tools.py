"""Brain masks by other programs: HD-BET (Isensee et al. 2019) and SynthStrip (Hoopes et al. 2022).

Both are trained networks, each with an environment of its own, and are used through their installed command.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from patch2loc.engine.gpus import claim_gpu, visible_gpus
from patch2loc.errors import InputError


@dataclass(frozen=True)
class Tool:
    """A program for brain masks.

    Attributes:
        commands: Names that it may be installed under; the first that is found is run.
        arguments: Gives its arguments for a scan, the path of the mask to write, and whether to use a GPU.
        install: Advice on how to install it.
    """

    commands: tuple[str, ...]
    arguments: Callable[[Path, Path, bool], list[str]]
    install: str


def _hd_bet(scan_path: Path, mask_path: Path, gpu: bool) -> list[str]:
    # HD-BET names the mask of an output NAME.nii.gz NAME_bet.nii.gz.
    output = mask_path.with_name(mask_path.name.replace("_bet.nii.gz", ".nii.gz"))
    device = ["-device", "cuda"] if gpu else ["-device", "cpu", "--disable_tta"]
    return ["-i", str(scan_path), "-o", str(output), "--save_bet_mask", "--no_bet_image", *device]


def _synthstrip(scan_path: Path, mask_path: Path, gpu: bool) -> list[str]:
    return ["-i", str(scan_path), "-m", str(mask_path), *(["-g"] if gpu else [])]


TOOLS = {
    "hd-bet": Tool(
        ("hd-bet",),
        _hd_bet,
        "pipx install hd-bet==2.0.1, or the environment envs/tools/hdbet.yaml, its hd-bet linked into a folder of PATH",
    ),
    "synthstrip": Tool(
        ("mri_synthstrip", "synthstrip-docker"),
        _synthstrip,
        "FreeSurfer 7.3 or newer, or the script synthstrip-docker in a folder of PATH; see "
        "https://surfer.nmr.mgh.harvard.edu/docs/synthstrip",
    ),
}


def find_command(tool: str) -> str:
    """Path of the command of a tool.

    Args:
        tool: "hd-bet" or "synthstrip".

    Raises:
        InputError: It is not installed; the message says how to install it.
    """
    for name in TOOLS[tool].commands:
        if path := shutil.which(name):
            return path
    raise InputError(
        f"skull_strip: {tool}: no command {' or '.join(TOOLS[tool].commands)} found in PATH, one expected; install "
        f"it ({TOOLS[tool].install}), or set skull_strip to atlas, which needs no weights"
    )


def has_gpu(device: str) -> bool:
    """True if tools run on a GPU: for the device cuda, and for auto where a GPU is visible."""
    return device == "cuda" or (device == "auto" and bool(visible_gpus()))


def extract_brain(tool: str, scan_path: Path, folder: Path, *, device: str, name: str) -> Path:
    """Run a tool on a scan, on a GPU that is claimed for it, if on any.

    Args:
        tool: "hd-bet" or "synthstrip".
        scan_path: A .nii.gz in standard orientation.
        folder: Folder that the mask is written to.
        device: "auto", "cpu" or "cuda".
        name: Of the scan, for messages.

    Returns:
        Path of the mask.

    Raises:
        InputError: The tool is not installed, fails, or leaves no mask.
    """
    mask_path = folder / "brain_bet.nii.gz"
    gpu = has_gpu(device)
    if gpu:
        claim_gpu()
    command = [find_command(tool), *TOOLS[tool].arguments(scan_path, mask_path, gpu)]
    # The tool has an environment of its own, in which this one's modules do not belong. The claimed GPU is the only one
    # that it sees.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    completed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(completed.stdout, completed.stderr, sep="\n")
    if completed.returncode or not mask_path.is_file():
        last_line = (completed.stderr.strip() or completed.stdout.strip() or "nothing").splitlines()[-1]
        raise InputError(
            f"{name}: {tool} ended with status {completed.returncode} and {'a' if mask_path.is_file() else 'no'} mask, "
            f"saying: {last_line}; a brain mask was expected; try {command[0]} on the scan by hand, or leave it out"
        )
    return mask_path
