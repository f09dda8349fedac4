"""Settings that the parts of the score are tried with."""

from patch2loc.configuration.keys import Configuration
from patch2loc.metrics.parts import PartsSettings, Setting


def own_setting(config: Configuration, median_filter: int) -> Setting:
    """The score that a run evaluates in a dataset.

    Args:
        config: Valid, defaults filled in.
        median_filter: Width, voxels, of the dataset's median filter.
    """
    score = config["score"]
    return Setting("score", score["epsilon"], median_filter, score["stride"])


def parts_settings(config: Configuration, median_filter: int) -> PartsSettings:
    """The configured settings and the run's own in a dataset, ascending; arguments as for `own_setting`."""
    own, tried = own_setting(config, median_filter), config["parts"]
    return {
        "epsilons": sorted({*map(float, tried["epsilons"]), own.epsilon}),
        "median_filters": sorted({*tried["median_filters"], own.median_filter}),
        "strides": sorted({*tried["strides"], own.stride}),
    }
