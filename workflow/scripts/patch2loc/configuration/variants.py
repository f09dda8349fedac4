"""Variants: methods that predict locations, trained with other settings, each a row of the table `ablations`.

A variant is called by its method and its own name, "patch2loc-beta0", in paths and tables. It shares scans,
preprocessing and landmarks with its method, and its training depends on nothing but its own settings.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from patch2loc.configuration.ablation_rows import AblationRow
from patch2loc.configuration.keys import Variant
from patch2loc.configuration.method_registry import locates
from patch2loc.configuration.method_settings import NO_INFLUENCE
from patch2loc.data.axes import AXES_OF_SLICES, axis_order
from patch2loc.errors import InputError
from patch2loc.method_interface import MARK, method_of

WHOLE = 1e-6  # voxels that a width in mm may be off


def variant_rows(variants: Mapping[str, Variant]) -> list[str]:
    """Names of the variants in paths and tables."""
    return [f"{variant['method']}{MARK}{name}" for name, variant in variants.items()]


def configuration_of(row: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration that a method or a variant is trained and scored by.

    Args:
        row: Name of a method, whose configuration is that of the run, or of a variant.
        config: Configuration of the run, valid, defaults filled in.
    """
    if MARK not in row:
        return dict(config)
    variant: Variant = config["variants"][row.partition(MARK)[2]]
    own = {**config, "training": {**config["training"], **variant["training"]}}
    patch_mm = variant.get("patch_mm")
    return own if patch_mm is None else own | {"patch": round(patch_mm / config["grid"]["spacing"])}


def ablation_row(
    row: str, base: str, parts: Sequence[str], config: Mapping[str, Any], training_scans: int
) -> AblationRow:
    """What a row of the table `ablations` changes.

    Args:
        row: Name of a method, a variant or a combination.
        base: The row that it is compared with.
        parts: What a combination is made of; of any other row, itself.
        config: Of the run.
        training_scans: Number of training scans where `training.subjects` says none.
    """
    own = configuration_of(parts[0], config)
    is_combination = len(parts) > 1
    return {
        "base": base,
        "changes": {"of": list(parts)} if is_combination else changes_of(row, config),
        "patch_mm": None if is_combination else own["patch"] * config["grid"]["spacing"],
        "subjects": own["training"]["subjects"] or training_scans,
    }


def changes_of(row: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """What a variant changes, such as {"beta": 0} or {"patch_mm": 16}; {} for a method."""
    if MARK not in row:
        return {}
    variant: Variant = config["variants"][row.partition(MARK)[2]]
    patch_mm = variant.get("patch_mm")
    return {**variant["training"], **({} if patch_mm is None else {"patch_mm": patch_mm})}


def base_row(parts: Sequence[str]) -> str:
    """The method that a variant, or a combination of variants, is compared with: that of the first variant."""
    return next(method_of(part) for part in parts if MARK in part)


def check_variants(config: Mapping[str, Any]) -> None:
    """Hold variants against the rest of a configuration.

    Args:
        config: Valid, defaults filled in (`presets.completed`).

    Raises:
        InputError: For a variant that cannot be trained, naming its key.
    """
    seen: list[tuple[str, Any]] = []  # each variant and what its numbers depend on
    for name, variant in config["variants"].items():
        key, method = f"variants.{name}", variant["method"]
        if method not in config["methods"] or not locates(method):
            raise InputError(
                f"{key}.method: {method} found, one of `methods` that predicts locations expected; correct the name, "
                "or add the method to `methods`"
            )
        own = configuration_of(f"{method}{MARK}{name}", config)
        if _numbers(own) == _numbers(config):
            raise InputError(
                f"{key}: nothing that differs from {method} found, another value of a key of `training` "
                f"(but {' and '.join(NO_INFLUENCE)}, which change no number), or patch_mm, expected; add one, or leave "
                "the variant out"
            )
        numbers = (method, _numbers(own))
        for other, its_numbers in seen:
            if numbers == its_numbers:
                raise InputError(
                    f"{key}: what variants.{other} is found, another training expected, as both would have the same "
                    "numbers; leave one of them out"
                )
        seen.append((name, numbers))
        _check_patch(key, variant, own)
        training = own["training"]
        if training["patches"] < training["batch"]:
            raise InputError(
                f"{key}.training: patches {training['patches']} found, at least one batch expected "
                f"({training['batch']}); raise the one or lower the other"
            )


def _numbers(config: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    """What of a configuration variants change, and numbers depend on."""
    return config["patch"], {
        key: value for key, value in config["training"].items() if key not in NO_INFLUENCE
    }


def _check_patch(key: str, variant: Variant, own: Mapping[str, Any]) -> None:
    """Raise InputError for patches of no even number of voxels, wider than a slice, or with gaps between them."""
    grid, patch, stride = own["grid"], own["patch"], own["score"]["stride"]
    patch_mm = variant.get("patch_mm")
    if patch_mm is not None and (
        patch % 2 or patch < 8 or abs(patch * grid["spacing"] - patch_mm) > WHOLE * grid["spacing"]
    ):
        raise InputError(
            f"{key}.patch_mm: {patch_mm:g} found, {patch_mm / grid['spacing']:g} voxels of {grid['spacing']:g} mm, an "
            f"even number of 8 at least expected; a multiple of {2 * grid['spacing']:g} mm is one"
        )
    orientation = own["training"]["orientation"]
    width, height, _ = (grid["shape"][axis] for axis in axis_order(AXES_OF_SLICES[orientation]))
    if patch > min(width, height):
        raise InputError(
            f"{key}: patches of {patch} voxels found, at most {min(width, height)} expected, as {orientation} slices "
            "of grid.shape have; lower patch_mm"
        )
    if stride > patch // 2:
        raise InputError(
            f"{key}: patches of {patch} voxels and score.stride {stride} found, a stride of half a patch at most "
            "expected; lower score.stride or raise patch_mm"
        )
