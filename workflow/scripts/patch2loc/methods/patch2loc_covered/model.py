"""Training on patches whose middle may be covered, and the difference of two scores."""

from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

import patch2loc.methods.patch2loc.model as patch2loc
import patch2loc.methods.patch2loc_robust.model as patch2loc_robust
import patch2loc.methods.patch2loc_unpadded.model as patch2loc_unpadded
from patch2loc.engine.choices import Device, Precision
from patch2loc.heatmap import EPSILON
from patch2loc.method_interface import Maps, MethodSettings, Score, State, Volumes
from patch2loc.network.patch_augmentation import cover_middle, cover_some
from patch2loc.network.ready import PaddedSlices, Progress
from patch2loc.network.unpadded import ReadyUnpadded

network_input = patch2loc_robust.network_input
predictor = patch2loc_unpadded.predictor  # of patches as they are


def fit(
    training: Volumes,
    validation: Volumes,
    settings: MethodSettings,
    checkpoint: Path | None,
    *,
    device: Device,
) -> tuple[State, pd.DataFrame]:
    """Train as patch2loc_robust_unpadded does; half of the patches, of validation too, have their middle covered."""
    return patch2loc_robust.fit_robust(
        training,
        validation,
        settings=settings,
        checkpoint=checkpoint,
        device=device,
        build=patch2loc_unpadded.unpadded,
        cover=cover_some,
    )


class ReadyCovered(ReadyUnpadded):
    """An unpadded network made ready to predict patches whose middle is covered.

    The middle of one patch is the surroundings of the next, so they share nothing: each is cut out.
    """

    def predict_slices(self, slices: PaddedSlices, progress: Progress = iter) -> Tensor:
        """Predict patch by patch, see `ReadyNetwork.predict_slices`."""
        return self.predict_few(slices)

    def predict_patches(self, cut: Tensor, code: Tensor) -> Tensor:
        """Cover patches that were cut out, and predict their locations, see `ReadyNetwork.predict_patches`."""
        return super().predict_patches(cover_middle(cut), code)


def scorer(state: State, device: Device, stride: int = 1, precision: Precision = "float32") -> Score:
    """Score scans as the network sees them, by the difference.

    The maps log_error and log_variance are of patches as they are, so that location errors can be told from them.
    """
    network = patch2loc_unpadded.location_network(state)
    epsilon = state.get("epsilon", EPSILON)
    score_whole, score_covered = (
        patch2loc.network_score(ready(network, device, precision), stride, epsilon)
        for ready in (ReadyUnpadded, ReadyCovered)
    )

    def score(volume: np.ndarray, mask: np.ndarray, region: np.ndarray) -> Maps:
        whole, covered = (each(volume, mask, region) for each in (score_whole, score_covered))
        return {**whole, "score": whole["score"] - covered["score"]}

    return patch2loc_robust.with_network_input(score, state)
