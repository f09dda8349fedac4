"""One scan of one's own, without the workflow: an answer of a detector, a heatmap of any model."""

from patch2loc.own_scan.answer import Answer, ScanWarning
from patch2loc.own_scan.detect import Detector, detect_scan, load_detector
from patch2loc.own_scan.result_folder import STAGES
from patch2loc.own_scan.score import score_own_scan
from patch2loc.own_scan.scorer import Scorer, load_scorer

__all__ = [
    "STAGES",
    "Answer",
    "Detector",
    "ScanWarning",
    "Scorer",
    "detect_scan",
    "load_detector",
    "load_scorer",
    "score_own_scan",
]
