"""Between two validations a training is computed on the device alone, and the processor never waits for it."""

from collections import Counter

import pytest
from small_fits import DIFFUSION, LOCATION, PATCH, SLICE, small_fit
from stand_in_gpu import stand_in_gpu
from synchronizations import Synchronizations

# The tables that kornia's equalization makes on the host at each call, in training of phanes alone.
EQUALIZATION = "lift_fresh at methods/reconstruction/saliency.py"


@pytest.mark.parametrize("name", [*LOCATION, *PATCH, *SLICE])
def test_a_training_step_is_computed_on_the_device_alone_and_waits_for_nothing(name):
    if name in DIFFUSION:
        for package in ("diffusers", "opensimplex"):
            pytest.importorskip(package)

    def synchronizations(steps):
        # Tensors of both devices together are an error.
        with stand_in_gpu() as device, Synchronizations() as mode:
            small_fit(name, steps, device=device)
        return Counter(mode.found)

    # What comes before the first step and after the last is the same, whatever their number.
    few, more = synchronizations(2), synchronizations(3)
    added = more - few
    assert not [place for place in added if EQUALIZATION not in place]
