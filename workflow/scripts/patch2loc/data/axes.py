"""Axes of arrays, and slices across them."""

from typing import Literal, get_args

# Where the axes of an array lead: RAS as everywhere here; RSA and SAR with another axis last, across which slices are
# taken; LPS as arrays of the paper's released code (ITK's "RAI"). Each is turned from RAS and back in one way.
Axes = Literal["RAS", "RSA", "SAR", "LPS"]
AXES: tuple[Axes, ...] = get_args(Axes)
Orientation = Literal["axial", "coronal", "sagittal"]
AXES_OF_SLICES: dict[Orientation, Axes] = {"axial": "RAS", "coronal": "RSA", "sagittal": "SAR"}


def axis_order(axes: Axes) -> tuple[int, ...]:
    """Axis of a RAS array that each axis of an array with other axes is."""
    return tuple(
        next(number for number, pair in enumerate(("RL", "AP", "SI")) if axis in pair) for axis in axes
    )
