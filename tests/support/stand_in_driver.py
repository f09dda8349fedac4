"""A stand-in for NVIDIA's driver, as far as nvidia-smi shows it: a script in PATH that lists GPUs."""

import stat


def several(count):
    """What `nvidia-smi -L` prints for so many GPUs."""
    return "".join(f"GPU {n}: NVIDIA A100-SXM4-40GB (UUID: GPU-{n}{n}-aa)\n" for n in range(count))


def install_driver(folder, printed, status=0):
    """Write an nvidia-smi that prints, and return the folder that it is in, for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "listing").write_text(printed)
    script = folder / "nvidia-smi"
    script.write_text(f'#!/bin/sh\n[ "$1" = -L ] && /bin/cat "{folder}/listing"\nexit {status}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder
