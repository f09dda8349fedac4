"""Means over subjects and folds, with their spread over folds and a bootstrap interval over subjects."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd

COLUMNS = ("mean", "sd", "ci_low", "ci_high", "n_subjects", "n_folds")  # of `summary_of`
SUMMARIZED = ("auprc", "best_dice", "auroc", "auroc_healthy")
RESAMPLES = 2000


def summarize(metrics_by_fold: Sequence[pd.DataFrame], seed: int = 0) -> pd.DataFrame:
    """One row for each measure of SUMMARIZED: metric, the columns of `summary_of`, and prevalence.

    metrics_by_fold: one table per fold (columns subject, prevalence and SUMMARIZED). prevalence: mean over the
    subjects that have the measure. A measure that no subject has, as for healthy scans, gives NaN and n_subjects 0.
    Raises ValueError without folds, and for a subject listed twice in a fold.
    """
    rows = []
    for metric in SUMMARIZED:
        row = summary_of(metrics_by_fold, metric, seed)
        with_value = _by_subject(metrics_by_fold, metric).index
        prevalence = _by_subject(metrics_by_fold, "prevalence").reindex(with_value)
        row["prevalence"] = prevalence.to_numpy().mean() if len(prevalence) else np.nan
        rows.append({"metric": metric, **row})
    return pd.DataFrame(rows)


def summary_of(metrics_by_fold: Sequence[pd.DataFrame], metric: str, seed: int = 0) -> dict[str, float]:
    """Mean of one measure, its spread and its interval.

    metrics_by_fold: one table per fold (columns subject and `metric`).
    mean (of the fold means), sd (of the fold means, n - 1; NaN for one fold), ci_low and ci_high (95 %, percentile
    bootstrap over subjects of the fold-averaged value), n_subjects (with a value in any fold), n_folds.
    Raises ValueError without folds, and for a subject listed twice in a fold.
    """
    values = _by_subject(metrics_by_fold, metric)
    fold_means = values.mean(axis=0)
    low, high = bootstrap_interval(values.mean(axis=1).to_numpy(), seed)
    return {
        "mean": fold_means.mean(),
        "sd": fold_means.std(ddof=1),
        "ci_low": low,
        "ci_high": high,
        "n_subjects": len(values),
        "n_folds": len(metrics_by_fold),
    }


def measure_rows(
    metrics_by_fold: Sequence[pd.DataFrame], measures: Iterable[str], seed: int = 0
) -> list[dict[str, float | str]]:
    """A row of each measure that any subject has, {"metric": its name} and the columns of `summary_of`."""
    rows = ({"metric": measure, **summary_of(metrics_by_fold, measure, seed)} for measure in measures)
    return [row for row in rows if row["n_subjects"]]


def subject_means(metrics_by_fold: Sequence[pd.DataFrame], metric: str) -> pd.Series:
    """Each subject's mean over folds of one measure, by subject, those without any value left out.

    Arguments and errors as for `summary_of`.
    """
    return _by_subject(metrics_by_fold, metric).mean(axis=1)


def bootstrap_interval(
    values: np.ndarray, seed: int = 0, resamples: int = RESAMPLES, level: float = 0.95
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean. values: (subjects,); (NaN, NaN) for fewer than two."""
    if len(values) < 2:
        return float("nan"), float("nan")
    weights = resampling_counts(len(values), seed, resamples)
    means = weights @ values / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def resampling_counts(subjects: int, seed: int, resamples: int) -> np.ndarray:
    """How often each subject is drawn in each resample with replacement: (resamples, subjects) integers."""
    generator = np.random.default_rng([seed, subjects])
    return generator.multinomial(subjects, np.full(subjects, 1 / subjects), size=resamples)


def _by_subject(metrics_by_fold: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Subjects x folds of one column, subjects in sorted order, those without any value left out."""
    if not metrics_by_fold:
        raise ValueError("no metrics to summarize: one table per fold was expected")
    for fold, table in enumerate(metrics_by_fold):
        twice = table["subject"][table["subject"].duplicated()].tolist()
        if twice:
            raise ValueError(
                f"metrics of fold {fold} list these subjects twice: {', '.join(map(str, twice))}"
            )
    folds = [table.set_index("subject")[column].astype(float) for table in metrics_by_fold]
    return pd.concat(folds, axis=1).sort_index().dropna(how="all")
