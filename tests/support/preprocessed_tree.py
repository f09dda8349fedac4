"""Simulated heads as others preprocess them: what the public scripts of the patched diffusion repository write.

Registered to the atlas, stripped, bias-corrected; then cut to the box of the brain without its last voxels, in arrays
from right to left and from anterior to posterior, under the header of the whole atlas; masks are interpolated linearly.
"""

from functools import cache

import numpy as np
from heads import COARSE
from paper_replica import COHORTS, scan_paths
from scipy import ndimage

from patch2loc.acquire import phantom
from patch2loc.data import volumes
from patch2loc.preprocess.atlas import common_grid, load_atlas
from patch2loc.preprocess.bias import correct_bias
from patch2loc.preprocess.images import one_thread, resample
from patch2loc.preprocess.register import register

WHOLE = (60, 70, 61)  # voxels of 4 mm, around the same center as the grid of a run


def write_preprocessed_tree(config):
    """Write a head wherever the configuration looks for one: {(dataset, subject): {part: array on the whole atlas}}."""
    arrays = {}
    for name, dataset in config["datasets"].items():
        for index, (subject, paths) in enumerate(scan_paths(config, name).items()):
            dataset["simulated"] = True
            cohort = COHORTS.get(name, "healthy")
            parts = dict(registered(cohort, index, dataset["modality"]))
            if dataset["role"] == "healthy":  # one mask serves both contrasts: that of T1
                parts["brain"] = registered(cohort, index, "T1")["brain"]
            touched = parts["brain"] > 0
            affine = common_grid(load_atlas("icbm152", "T1"), WHOLE, 4.0).affine
            parts["scan"] = np.where(touched, correct_bias(parts["scan"], touched, affine)[0], 0)
            arrays[name, subject] = write_cut(parts, affine, paths)
    return arrays


@cache
def simulated(cohort, index):
    return phantom.simulate_subject(cohort, index, 11, COARSE)


@cache
def registered(cohort, index, modality):
    """A simulated scan, stripped, and its masks on the whole atlas, interpolated linearly: {part: array}."""
    scan = simulated(cohort, index)[modality]
    atlas = load_atlas("icbm152", modality)
    grid = common_grid(atlas, WHOLE, 4.0)
    brain = scan.brain > 0
    stripped = np.where(brain, scan.array, 0).astype(np.float32)
    with one_thread():
        transform, _ = register(stripped, brain, scan.affine, atlas)
    parts = {"scan": stripped, "brain": brain, "lesion": scan.lesion > 0}
    return {part: resample(array, scan.affine, grid, transform) for part, array in parts.items()}


def write_cut(parts, affine, paths):
    """Write arrays cut to the brain, under the header of the whole: {part: array, 0 where it was cut off}."""
    flipped = {part: array[::-1, ::-1] for part, array in parts.items()}
    shape = np.array(parts["scan"].shape)
    turn = np.diag([-1.0, -1.0, 1.0, 1.0])
    turn[:2, 3] = shape[:2] - 1
    touched = ndimage.find_objects((flipped["brain"] > 0).astype(np.uint8))[0]
    box = tuple(slice(edge.start, edge.stop - 1) for edge in touched)
    kept = {}
    for part, array in flipped.items():
        kept[part] = np.zeros_like(array)
        kept[part][box] = array[box]
        if paths[part]:
            volumes.write(paths[part], array[box], affine @ turn)
    return {part: array[::-1, ::-1] for part, array in kept.items()}
