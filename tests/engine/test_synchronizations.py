"""Between two validations the processor never waits for the device."""

from collections import Counter

import pytest
from small_fits import DIFFUSION, LOCATION, PATCH, SLICE, small_fit
from stand_in_gpu import stand_in_gpu
from synchronizations import Synchronizations

# The tables that kornia's equalization makes on the host at each call, in training of phanes alone.
EQUALIZATION = "lift_fresh at methods/reconstruction/saliency.py"
# Trained by heatmaps, which copy scans to the device in a way that a stand-in for one cannot.
BY_HEATMAPS = ("patch2loc_inpainted",)


@pytest.mark.parametrize("name", [*LOCATION, *PATCH, *SLICE])
def test_a_training_step_waits_for_nothing(name):
    if name in DIFFUSION:
        for package in ("diffusers", "opensimplex"):
            pytest.importorskip(package)

    def synchronizations(steps):
        with Synchronizations() as mode:
            small_fit(name, steps)
        return mode.found

    # What comes before the first step and after the last is the same, whatever their number.
    few, more = synchronizations(2), synchronizations(4)
    added = Counter(more) - Counter(few)
    assert not [place for place in added if EQUALIZATION not in place]


@pytest.mark.parametrize("name", [*LOCATION, *PATCH, *(name for name in SLICE if name not in BY_HEATMAPS)])
def test_a_training_step_is_computed_on_the_device_alone(name):
    if name in DIFFUSION:
        for package in ("diffusers", "opensimplex"):
            pytest.importorskip(package)

    def fit(steps):
        # Tensors of both devices together are an error.
        with stand_in_gpu() as device, Synchronizations() as mode:
            small_fit(name, steps, device=device)
        return Counter(mode.found)

    few, more = fit(2), fit(4)  # modules are loaded in the first
    added = more - few
    assert not [place for place in added if EQUALIZATION not in place]
