"""An answer in plain words, and no finer than the healthy scans that it rests on."""

from collections.abc import Sequence

import numpy as np

from patch2loc.own_scan.answer import ScanWarning
from patch2loc.own_scan.warnings import FEWEST_HEALTHY

MOST = 0.95  # share of the healthy scans whose volume of candidates an answer calls expected


def expected_ml(healthy_ml: np.ndarray) -> dict[str, float]:
    """Volume of the candidates of healthy scans, ml: their median, and what 95 % of the scans do not exceed.

    The latter is the volume in one of the scans: the smallest that at least 95 % of them do not exceed.  With fewer
    than twenty scans it is the greatest.

    Args:
        healthy_ml: Volume in each healthy scan, (scans,).
    """
    return {
        "median": round(float(np.median(healthy_ml)), 3),
        "most": round(float(np.quantile(healthy_ml, MOST, method="inverted_cdf")), 3),
    }


def answer_sentence(
    excess: float,
    healthy_excess: np.ndarray,
    *,
    count: int,
    abnormal_ml: float,
    healthy_ml: np.ndarray,
    warnings: Sequence[ScanWarning] = (),
) -> str:
    """The answer about a scan.

    Args:
        excess: Of the scan, summed over its candidates.
        healthy_excess: Of each healthy scan, (scans,).
        count: Number of candidates.
        abnormal_ml: Their volume.
        healthy_ml: That of each healthy scan, (scans,).
        warnings: That apply.
    """
    parts = [
        _rank(excess, healthy_excess),
        f"{count} candidate{'s' * (count != 1)}, {abnormal_ml:.1f} ml" if count else "no candidate",
        _expected(healthy_ml),
    ]
    sentence = "; ".join(parts)
    return f"{sentence[0].upper()}{sentence[1:]}.{_names(warnings)}"


def not_judged_sentence(reason: ScanWarning, warnings: Sequence[ScanWarning]) -> str:
    """What is said about a scan that cannot be judged: the first sentence of the reason, and what else is doubtful.

    Args:
        reason: The warning that it cannot be judged.
        warnings: All warnings about the scan.
    """
    others = [warning for warning in warnings if warning is not reason]
    return f"{reason.message.split('. ')[0]}.{_names(others)}"


def _names(warnings: Sequence[ScanWarning]) -> str:
    names = ", ".join(dict.fromkeys(warning.name.replace("_", " ") for warning in warnings))
    return f" Warnings: {names}." if names else ""


def _rank(value: float, healthy: np.ndarray) -> str:
    """Place of a scan among healthy ones, in steps of one scan: of n scans, nothing finer than 1/n is known."""
    count, below, equal = len(healthy), int(np.sum(healthy < value)), int(np.sum(healthy == value))
    scans = f"{count} healthy scan{'s' * (count != 1)}"
    if below == count:
        return f"more abnormal than all {scans}"
    if below + equal == 0:
        return f"less abnormal than all {scans}"
    if value == 0:
        return f"as little abnormal as {equal} of {scans}"
    if count < FEWEST_HEALTHY:
        return f"more abnormal than {below} of {scans}"
    percent = round(100 * (below + equal / 2) / count)
    return f"more abnormal than {min(max(percent, 1), 99)} % of {scans}"


def _expected(healthy_ml: np.ndarray) -> str:
    expected = expected_ml(healthy_ml)
    share = " in 95 %" if len(healthy_ml) >= FEWEST_HEALTHY else ""
    return (
        f"expected in a healthy scan {expected['median']:.1f} ml (at most {expected['most']:.1f} ml{share})"
    )
