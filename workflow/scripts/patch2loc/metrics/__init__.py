"""Measures of one scan and over subjects: ranking, curves, detection, location error, correlation."""

from patch2loc.metrics.ranking import auroc, average_precision, best_dice, evaluate_scores

__all__ = ["auroc", "average_precision", "best_dice", "evaluate_scores"]
