"""What trainings ask of their scans, held against the lists of the training data."""

from collections.abc import Mapping

from patch2loc.configuration.keys import Configuration
from patch2loc.errors import InputError, first_of
from patch2loc.plan.datasets import PlannedDataset

MOST_NAMED = 3  # scans that a message names


def check_training_scans(config: Configuration, datasets: Mapping[str, PlannedDataset]) -> None:
    """Check that the training data have the scans that `training` and variants ask for, in each fold.

    Args:
        config: Checked by itself.
        datasets: Those at hand; training data may be missing.

    Raises:
        InputError: More training scans are asked for than a fold has; or sites are to be balanced, and the site of a
            training scan is unknown or all have the same.
    """
    training_data = {name: datasets[name] for name in config["training_data"].values() if name in datasets}
    trained_on = {
        (name, fold): dataset.subjects(fold, "train")
        for name, dataset in training_data.items()
        for fold in config["folds"]
    }
    trainings = {"training": config["training"]} | {
        f"variants.{name}.training": variant["training"] for name, variant in config["variants"].items()
    }
    most = min(map(len, trained_on.values()))
    for key, training in trainings.items():
        count = training.get("subjects")
        if count is not None and count > most:
            raise InputError(
                f"{key}.subjects: {count} found, at most {most} expected, the training scans of a fold; lower it, or "
                "leave it out for all"
            )
        if training.get("balance_sites"):
            for (name, fold), subjects in trained_on.items():
                _check_sites(key, f"{name}, fold {fold}", subjects, training_data[name].sites)


def _check_sites(key: str, place: str, subjects: list[str], sites: Mapping[str, str]) -> None:
    """Raise InputError unless the site of each training scan is known and there are two or more."""
    unknown = [subject for subject in subjects if not sites.get(subject)]
    if unknown:
        found = f"no site of {len(unknown)} training scans ({first_of(unknown, MOST_NAMED)})"
    elif len({sites[subject] for subject in subjects}) < 2:
        found = f"one site, {sites[subjects[0]]},"
    else:
        return
    raise InputError(
        f"{key}.balance_sites: true, and {found} of {place}, found; two sites or more expected, in the column `site` "
        "of its list; name them there, or leave balance_sites out"
    )
