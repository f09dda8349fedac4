"""Settings that the parts of the score are tried with."""

from patch2loc.configuration.vocabulary import Configuration
from patch2loc.metrics.parts import PartsSettings, Setting


def own_setting(config: Configuration) -> Setting:
    """The score that a run evaluates.  config: valid, defaults filled in."""
    score = config["score"]
    return Setting("score", score["epsilon"], score["median_filter"], score["stride"])


def parts_settings(config: Configuration) -> PartsSettings:
    """The configured settings and the run's own, ascending.  config: valid, defaults filled in."""
    own, tried = own_setting(config), config["parts"]
    return {
        "epsilons": sorted({*map(float, tried["epsilons"]), own.epsilon}),
        "median_filters": sorted({*tried["median_filters"], own.median_filter}),
        "strides": sorted({*tried["strides"], own.stride}),
    }
