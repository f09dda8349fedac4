"""Mutations of voxels.

Two strengths are tried of what has degrees, with a gap between them: what every scanner does, which must give the same
result and no warning, and what no scanner does, which must not pass in silence.
"""

from functools import partial

import numpy as np
from hypothesis import strategies as some
from mutations import mutations_by
from scipy import ndimage

SPACING = 4.0  # mm, of the scan that is mutated
FINE_SPACING = 2.0  # of the one for damage that nothing can be seen of at 4 mm
FWHM = 2.355  # of a Gaussian over its standard deviation

seeds, axes = some.integers(0, 2**16), some.sampled_from((0, 1, 2))
mild, gross = partial(mutations_by, harmless=True), mutations_by
noticed = partial(mutations_by, noticed=True)  # gross, too: part of the scan is not what was measured


# Functions of a stripped scan, (x, y, z) float32, that give another one.


def _inside(scan, values):
    return np.where(scan > 0, np.maximum(values, 1), 0)


def noise(scan, share, seed):
    """Gaussian noise, its standard deviation as a share of the median brightness of the brain."""
    sd = share * np.median(scan[scan > 0])
    return _inside(scan, scan + np.random.default_rng(seed).normal(0, sd, scan.shape))


def gain(scan, exponent):
    return scan * 10.0**exponent


def negative_background(scan, share, seed):
    """What interpolation leaves around a stripped brain."""
    edge = ndimage.binary_dilation(scan > 0) & (scan <= 0)
    values = -share * np.median(scan[scan > 0]) * np.random.default_rng(seed).random(scan.shape)
    return np.where(edge, values, scan)


def quantized(scan, levels):
    top = scan.max()
    return _inside(scan, np.ceil(scan / top * levels) / levels * top)


def saturated(scan, percentile):
    return np.minimum(scan, np.percentile(scan[scan > 0], percentile))


def few_holes(scan, count, seed):
    return _holes(scan, count, seed)


def holes(scan, share, seed):
    return _holes(scan, int(share * np.count_nonzero(scan)), seed)


def _holes(scan, count, seed):
    places = np.flatnonzero(scan)
    changed = scan.copy()
    changed.flat[np.random.default_rng(seed).choice(places, count, replace=False)] = 0
    return changed


def not_finite(scan, value, count, seed):
    places = np.random.default_rng(seed).choice(scan.size, count, replace=False)
    changed = scan.copy()
    changed.flat[places] = value
    return changed


def hot_voxel(scan, factor, seed):
    changed = scan.copy()
    changed.flat[np.random.default_rng(seed).choice(np.flatnonzero(scan))] = factor * scan.max()
    return changed


def inverted(scan):
    return _inside(scan, np.percentile(scan[scan > 0], 99.5) * 1.05 - scan)


def negated(scan):
    return -scan


def zeroed_slab(scan, axis, share, start):
    """A part of the brain's slices along an axis that is empty."""
    changed, place = scan.copy(), _slab(scan, axis, share, start)
    changed[place] = 0
    return changed


def repeated_slice(scan, axis, share, start):
    """A part of the slices that is a copy of its first one."""
    changed, place = scan.copy(), _slab(scan, axis, share, start)
    changed[place] = np.take(scan, [place[axis].start], axis)
    return changed


def ball(scan, radius, value, seed, depth=0.0, spacing=SPACING):
    """A ball, its radius in mm, about a place in the brain that lies so deep at least, of one value."""
    places = np.argwhere(ndimage.distance_transform_edt(scan > 0, sampling=spacing) > depth)
    center = places[np.random.default_rng(seed).integers(len(places))]
    distances = np.linalg.norm(np.moveaxis(np.indices(scan.shape), 0, -1) - center, axis=-1)
    return np.where((distances * spacing <= radius) & (scan > 0), np.float32(value), scan)


def cube(scan, edge, value, seed):
    """As `ball`, a cube of an edge in mm, half of it below the surface."""
    places = np.argwhere(ndimage.distance_transform_edt(scan > 0, sampling=SPACING) > edge / 2)
    center = places[np.random.default_rng(seed).integers(len(places))]
    box = tuple(
        slice(max(0, round(at - edge / 2 / SPACING)), round(at + edge / 2 / SPACING)) for at in center
    )
    changed = scan.copy()
    changed[box] = np.where(scan[box] > 0, np.float32(value), scan[box])
    return changed


def constant_slice(scan, axis, place, share):
    """One slice of a single value, a share of the median of the brain."""
    changed, slices = scan.copy(), _filled(scan, axis)
    np.moveaxis(changed, axis, 0)[slices[int(place * len(slices))]] = share * np.median(scan[scan > 0])
    return changed


def constant_brain_slice(scan, axis, place, share):
    """As `constant_slice`; what is around the brain stays 0."""
    return np.where(scan > 0, constant_slice(scan, axis, place, share), 0)


def doubled_slices(scan, axis, count, source, target):
    """A block of slices through the brain that stands a second time, in the place of others."""
    changed, slices = scan.copy(), _filled(scan, axis)
    last = len(slices) - count
    first, second = round(source * last), round(target * last)
    if first == second:
        second += 1 if first < last else -1
    moved = np.moveaxis(changed, axis, 0)
    moved[slices[second] : slices[second] + count] = np.moveaxis(scan, axis, 0)[
        slices[first] : slices[first] + count
    ]
    return changed


def _filled(scan, axis):
    """Numbers of the slices through the brain but for the outer tenth on both sides, which is hardly any brain."""
    filled = np.flatnonzero((scan > 0).any(axis=tuple({0, 1, 2} - {axis})))
    return filled[len(filled) // 10 : -(len(filled) // 10)]


def added(scan, share):
    """A share of the brightness of brain added to all voxels."""
    return scan + share * np.median(scan[scan > scan.mean()])


def added_to_brain(scan, share):
    return np.where(scan > 0, added(scan, share), 0)


def thick_slices(scan, axis, slices):
    """As many slices averaged to one, and interpolated to slices again."""
    size = scan.shape[axis]
    starts = np.arange(0, size, slices)
    thick = np.add.reduceat(np.moveaxis(scan, axis, 0), starts) / np.diff(np.r_[starts, size])[:, None, None]
    places = np.clip((np.arange(size) - (slices - 1) / 2) / slices, 0, len(starts) - 1)
    below = np.minimum(places.astype(int), len(starts) - 2)
    part = (places - below)[:, None, None].astype(np.float32)
    return _inside(scan, np.moveaxis((1 - part) * thick[below] + part * thick[below + 1], 0, axis))


def smoothed_along(scan, axis, fwhm):
    return _inside(scan, ndimage.gaussian_filter1d(scan, fwhm / FWHM / FINE_SPACING, axis))


def _slab(scan, axis, share, start):
    filled = np.flatnonzero((scan > 0).any(axis=tuple({0, 1, 2} - {axis})))
    width = round(share * len(filled))
    first = filled[0] + round(start * (len(filled) - width))
    return tuple(slice(first, first + width) if number == axis else slice(None) for number in range(3))


def shuffled_slices(scan, axis, seed):
    return np.take(scan, np.random.default_rng(seed).permutation(scan.shape[axis]), axis)


def interleaved(scan, axis):
    """Even slices first, as when the order of acquisition is taken for that of space."""
    order = np.arange(scan.shape[axis])
    return np.take(scan, np.r_[order[::2], order[1::2]], axis)


def wrapped(scan, axis):
    return np.roll(scan, scan.shape[axis] // 2, axis)


def shuffled_voxels(scan, seed):
    changed = scan.copy()
    changed[scan > 0] = np.random.default_rng(seed).permutation(scan[scan > 0])
    return changed


def blurred(scan, fwhm, spacing=SPACING):
    return _inside(scan, ndimage.gaussian_filter(scan, fwhm / FWHM / spacing))


def ghost(scan, axis, share):
    return scan + share * np.roll(scan, scan.shape[axis] // 2, axis)


def striped(scan, axis, period, depth):
    wave = 1 + depth * np.cos(2 * np.pi * np.arange(scan.shape[axis]) / period)
    return scan * np.expand_dims(wave, tuple({0, 1, 2} - {axis}))


def shaded(scan, axis, factor):
    ramp = np.geomspace(1, factor, scan.shape[axis])
    return scan * np.expand_dims(ramp, tuple({0, 1, 2} - {axis}))


def labeled(scan, levels):
    """A map of tissues in place of brightness."""
    edges = np.percentile(scan[scan > 0], np.linspace(0, 100, levels + 1)[1:-1])
    return _inside(scan, 1 + np.digitize(scan, edges))


def mask_alone(scan):
    return (scan > 0).astype(np.float32)


def constant(scan, value):
    return np.full_like(scan, value)


def noise_alone(scan, seed):
    return _inside(scan, np.random.default_rng(seed).gamma(4, 100, scan.shape))


def another(_scan, contrast, scans):
    """Another contrast of the same head in the same place."""
    return scans[contrast]


def voxels(scans):
    """Mutations of voxels; scans: other contrasts of the same head by their names."""
    contrasts = [mutations_by(name, partial(another, contrast=name, scans=scans)) for name in scans]
    return some.one_of(
        mild("little noise", noise, share=some.floats(0, 0.03), seed=seeds),
        mild("gain", gain, exponent=some.floats(-3, 3)),
        mild("negative background", negative_background, share=some.floats(0, 0.05), seed=seeds),
        mild("many levels", quantized, levels=some.integers(200, 5000)),
        mild("little saturation", saturated, percentile=some.floats(99.8, 100)),
        mild("few holes", few_holes, count=some.integers(1, 5), seed=seeds),
        gross("hot voxel", hot_voxel, factor=some.sampled_from([10.0, 1e3, 1e6, 1e30]), seed=seeds),
        gross("much noise", noise, share=some.floats(1, 3), seed=seeds),
        gross(
            "not finite",
            not_finite,
            value=some.sampled_from([np.nan, np.inf, -np.inf]),
            count=some.integers(1, 1000),
            seed=seeds,
        ),
        gross("few levels", quantized, levels=some.integers(1, 8)),
        gross("saturated", saturated, percentile=some.floats(5, 60)),
        gross("inverted", inverted),
        gross("negated", negated),
        gross("holes", holes, share=some.floats(0.3, 0.9), seed=seeds),
        gross("zeroed slab", zeroed_slab, axis=axes, share=some.floats(0.3, 0.8), start=some.floats(0, 1)),
        gross(
            "repeated slice", repeated_slice, axis=axes, share=some.floats(0.4, 1), start=some.floats(0, 1)
        ),
        gross("shuffled slices", shuffled_slices, axis=axes, seed=seeds),
        gross("interleaved", interleaved, axis=axes),
        gross("wrapped", wrapped, axis=axes),
        gross("shuffled voxels", shuffled_voxels, seed=seeds),
        gross("blurred", blurred, fwhm=some.floats(14, 60)),
        gross("ghost", ghost, axis=axes, share=some.floats(0.5, 1)),
        gross("striped", striped, axis=axes, period=some.integers(2, 5), depth=some.floats(0.6, 1)),
        gross("shaded", shaded, axis=axes, factor=some.floats(30, 1000)),
        gross("labels", labeled, levels=some.integers(2, 6)),
        gross("mask alone", mask_alone),
        gross("constant", constant, value=some.sampled_from([0.0, 1.0, -5.0, 1e-30, 1e30])),
        gross("noise alone", noise_alone, seed=seeds),
        noticed(
            "emptied end",
            zeroed_slab,
            axis=axes,
            share=some.floats(0.2, 0.3),
            start=some.sampled_from([0.0, 1.0]),
        ),
        mild("small hole", ball, radius=some.floats(4, 8), value=some.just(0.0), seed=seeds),
        noticed(
            "empty ball",
            ball,
            radius=some.floats(22, 40),
            value=some.just(0.0),
            seed=seeds,
            depth=some.just(20.0),
        ),
        noticed("empty cube", cube, edge=some.floats(40, 60), value=some.just(0.0), seed=seeds),
        noticed(
            "ball of NaN",
            ball,
            radius=some.floats(8, 20),
            value=some.just(np.nan),
            seed=seeds,
            depth=some.just(26.0),
        ),
        noticed(
            "constant slice",
            constant_slice,
            axis=axes,
            place=some.floats(0.1, 0.9),
            share=some.sampled_from([0.0, 0.5, 1.0]),
        ),
        noticed(
            "constant slice of brain",
            constant_brain_slice,
            axis=axes,
            place=some.floats(0.2, 0.8),
            share=some.floats(0.1, 2),
        ),
        noticed(
            "doubled slices",
            doubled_slices,
            axis=axes,
            count=some.integers(1, 8),
            source=some.floats(0, 1),
            target=some.floats(0, 1),
        ),
        mild("little added", added, share=some.floats(0, 0.05)),
        gross("added", added, share=some.floats(-3, 3)),
        gross("added to the brain", added_to_brain, share=some.floats(-1.5, 3)),
        *contrasts,
    )


def heads():
    """Mutations of a whole head, as the functions of a stripped scan make them: 0 is no brightness of its air."""
    return some.one_of(
        mild("little added", added, share=some.floats(-0.05, 0.05)),
        noticed("much added", added, share=some.floats(0.3, 3)),
        noticed("much taken", added, share=some.floats(-3, -0.3)),
        noticed("ghost", ghost, axis=axes, share=some.floats(0.2, 0.5)),
    )


def fine():
    """Mutations of a stripped scan with voxels of FINE_SPACING."""
    return some.one_of(
        mild("smoothed along an axis", smoothed_along, axis=axes, fwhm=some.floats(0.1, 1)),
        noticed("thick slices", thick_slices, axis=axes, slices=some.integers(4, 5)),
        noticed("blurred", partial(blurred, spacing=FINE_SPACING), fwhm=some.floats(8, 20)),
        noticed(
            "empty ball",
            partial(ball, spacing=FINE_SPACING),
            radius=some.floats(22, 40),
            value=some.just(0.0),
            seed=seeds,
            depth=some.just(20.0),
        ),
    )
