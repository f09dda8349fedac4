"""A stand-in for NVIDIA's driver, as far as nvidia-smi shows it: a script in PATH that lists GPUs."""

import stat

GPU = "GPU {number}: NVIDIA A100-SXM4-40GB (UUID: {uuid})"
PART = "  MIG 1g.5gb      Device  {number}: (UUID: {uuid})"


def listing(*gpus):
    """What `nvidia-smi -L` prints: for each GPU its UUID, and those of its parts, if it is divided."""
    lines = []
    for number, (uuid, *parts) in enumerate(gpus):
        lines += [GPU.format(number=number, uuid=uuid)]
        lines += [PART.format(number=place, uuid=part) for place, part in enumerate(parts)]
    return "\n".join(lines)


def several(count):
    """What it prints for so many GPUs that are not divided."""
    return listing(*([f"GPU-{number}{number}-aa"] for number in range(count)))


def install_driver(folder, printed, status=0):
    """Write an nvidia-smi that prints, and return the folder that it is in, for PATH."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "listing").write_text(printed)
    script = folder / "nvidia-smi"
    script.write_text(f'#!/bin/sh\n[ "$1" = -L ] && /bin/cat "{folder}/listing"\nexit {status}\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return folder
