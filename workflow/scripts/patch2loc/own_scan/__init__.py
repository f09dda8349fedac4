"""One scan of one's own, without the workflow: heatmaps of any model, answers of a detector."""

from patch2loc.own_scan.score import STAGES, score_own_scan
from patch2loc.own_scan.scorer import Scorer, load_scorer

__all__ = ["STAGES", "Scorer", "load_scorer", "score_own_scan"]
