"""The ICBM152 2009a symmetric maps (Fonov et al. 2011), 1 mm, as nilearn ships them."""

from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from patch2loc.errors import InputError

Map = Literal["t1", "gm", "wm"]  # skull-stripped T1; probability of gray and of white matter, 255 for 1


def map_path(name: Map) -> Path:
    """Path of a map in the installed nilearn.

    nilearn's public functions, `load_mni152_template` and those for gray and white matter, return the same maps over
    255. They are not used here since importing them takes seconds, fifty times as long as reading a map, in each of
    thousands of short jobs; this function imports nothing of nilearn. A test holds that both agree.

    Raises:
        InputError: nilearn is not installed, or a version of it keeps its maps elsewhere.
    """
    spec = find_spec("nilearn")
    if spec is None or spec.origin is None:
        raise InputError(
            "nilearn not found, which brings the ICBM152 maps; install it (`pip install nilearn`)"
        )
    path = (
        Path(spec.origin).parent
        / "datasets"
        / "data"
        / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    )
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; the ICBM152 maps of nilearn were expected there; install the version of nilearn "
            "that requirements.txt names"
        )
    return path
