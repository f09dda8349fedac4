"""Brain masks by other programs: HD-BET (Isensee et al. 2019) and SynthStrip (Hoopes et al. 2022).

Both are trained networks with an environment of their own. They are used when their command is installed.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from patch2loc.errors import InputError


@dataclass(frozen=True)
class Tool:
    """A program for brain masks.

    commands: names it may be installed under, the first found is taken.  arguments: of a scan, the place of its mask
    and whether there is a GPU.  install: what to do when it is not there.
    """

    commands: tuple[str, ...]
    arguments: Callable[[Path, Path, bool], list[str]]
    install: str


def _hd_bet(scan: Path, mask: Path, gpu: bool) -> list[str]:
    # Of an output NAME.nii.gz the mask is NAME_bet.nii.gz.
    output = mask.with_name(mask.name.replace("_bet.nii.gz", ".nii.gz"))
    device = ["-device", "cuda"] if gpu else ["-device", "cpu", "--disable_tta"]
    return ["-i", str(scan), "-o", str(output), "--save_bet_mask", "--no_bet_image", *device]


def _synthstrip(scan: Path, mask: Path, gpu: bool) -> list[str]:
    return ["-i", str(scan), "-m", str(mask), *(["-g"] if gpu else [])]


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
    """Path of the command of a tool, "hd-bet" or "synthstrip". Raises InputError saying how to install it."""
    for name in TOOLS[tool].commands:
        if path := shutil.which(name):
            return path
    raise InputError(
        f"skull_strip: {tool}: no command {' or '.join(TOOLS[tool].commands)} found in PATH, one expected; install "
        f"it ({TOOLS[tool].install}), or set skull_strip to atlas, which needs no weights"
    )


def has_gpu(device: str) -> bool:
    """Whether tools run on a GPU, for a device of the configuration: auto takes one where the driver is installed."""
    return device == "cuda" or (device == "auto" and shutil.which("nvidia-smi") is not None)


def extract_brain(tool: str, scan: Path, folder: Path, device: str, name: str) -> Path:
    """Run a tool on a scan, a .nii.gz in standard orientation: path of the mask, which is written to `folder`.

    device: as in the configuration.  name: of the scan, for messages.
    Raises InputError when the tool is not installed, fails, or leaves no mask.
    """
    mask = folder / "brain_bet.nii.gz"
    command = [find_command(tool), *TOOLS[tool].arguments(scan, mask, has_gpu(device))]
    # The tool lives in an environment of its own, in which this one's modules are out of place.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(done.stdout, done.stderr, sep="\n")
    if done.returncode or not mask.is_file():
        said = (done.stderr.strip() or done.stdout.strip() or "nothing").splitlines()[-1]
        raise InputError(
            f"{name}: {tool} ended with status {done.returncode} and {'a' if mask.is_file() else 'no'} mask, saying: "
            f"{said}; a brain mask was expected; try {command[0]} on the scan by hand, or leave it out"
        )
    return mask
