"""Smooth random fields on regular grids, at a cost that does not depend on how smooth they are."""

import numpy as np

# Variance of a cubic B-spline surface whose coefficients are independent with variance 1, along one axis.
_SPLINE_VARIANCE = 151 / 315

Axes = tuple[np.ndarray, np.ndarray, np.ndarray]


def smooth_field(rng: np.random.Generator, axes: Axes, knots: float) -> np.ndarray:
    """Draw a random field of mean 0 and variance about 1: a cubic B-spline with normal coefficients.

    The same generator state gives the same field whatever the grid's spacing, as long as the extent is the same.

    Args:
        rng: Source of the coefficients.
        axes: Coordinates of the grid along x, y, z, mm, ascending.
        knots: Distance of the spline's knots, mm; values less than that apart are correlated.

    Returns:
        (x, y, z) float32, a value per grid point.
    """
    bases = [_spline_basis(axis, knots) for axis in axes]
    coefficients = rng.standard_normal([basis.shape[1] for basis in bases], dtype=np.float32)
    field: np.ndarray = _separable(coefficients, bases) / np.float32(_SPLINE_VARIANCE**1.5)
    return field


def upsample(coarse: np.ndarray, coarse_axes: Axes, axes: Axes) -> np.ndarray:
    """Interpolate `coarse` (x, y, z) on `coarse_axes` (mm) trilinearly at the grid `axes` (mm)."""
    return _separable(coarse, [_linear_basis(a, c) for a, c in zip(axes, coarse_axes, strict=True)])


def _separable(coefficients: np.ndarray, bases: list[np.ndarray]) -> np.ndarray:
    """Sum of coefficients times the products of one basis per axis."""
    # Each step contracts the first axis and appends the new one, so three steps restore the order.
    for basis in bases:
        coefficients = np.tensordot(coefficients, basis, axes=(0, 1))
    return coefficients


def _spline_basis(axis: np.ndarray, knots: float) -> np.ndarray:
    """Cubic B-splines at coordinates: (coordinates, coefficients) float32."""
    # The first knot depends on the extent rounded to 8 mm so that grids of 1 and 2 mm share it.
    start, stop = np.floor(axis[0] / 8) * 8, np.ceil(axis[-1] / 8) * 8
    position = (axis - start) / knots
    count = int(np.ceil((stop - start) / knots)) + 3
    distance = np.abs(position[:, None] - np.arange(-1, count - 1)[None])
    inner = 2 / 3 - distance**2 + distance**3 / 2
    outer = np.clip(2 - distance, 0, None) ** 3 / 6
    basis: np.ndarray = np.where(distance < 1, inner, outer).astype(np.float32)
    return basis


def _linear_basis(axis: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """Weights of linear interpolation at coordinates: (coordinates, coarse coordinates) float32."""
    position = np.clip((axis - coarse[0]) / (coarse[1] - coarse[0]), 0, len(coarse) - 1)
    weights: np.ndarray = np.clip(1 - np.abs(position[:, None] - np.arange(len(coarse))[None]), 0, None)
    return weights.astype(np.float32)
