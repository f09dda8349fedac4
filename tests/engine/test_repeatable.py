"""Training repeats on a GPU: every operation of it has a form there that adds in one order."""

import re
from typing import Any

import pytest
from dispatched import Dispatched, name_of
from small_fits import DIFFUSION, PATCH, SLICE, small_fit

# What torch.use_deterministic_algorithms(True) refuses on a GPU, by its documentation: names of operators.
ANY_ORDER = re.compile(
    r"(_adaptive_avg_pool[23]d|adaptive_max_pool[23]d|avg_pool3d|fractional_max_pool[23]d|max_unpool[23]d|"
    r"upsample_(linear1d|bilinear2d|bicubic2d|trilinear3d)|_upsample_bi(linear|cubic)2d_aa|reflection_pad[123]d|"
    r"grid_sampler_[23]d|nll_loss2d|_ctc_loss|_embedding_bag|_scaled_dot_product_\w*attention\w*)_backward"
    r"|nll_loss2d_forward|max_unpool[23]d|put_?|histc|bincount|(nan)?median|scatter_reduce_?"
)


class Operators(Dispatched):
    """Names of the operators inside it."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def computed(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.names.add(name_of(func))
        return super().computed(func, args, kwargs)


@pytest.mark.parametrize("name", ["patch2loc", "patch2loc_unpadded", *PATCH, *SLICE])
def test_no_operation_of_a_training_adds_in_any_order(name):
    if name in DIFFUSION:
        for package in ("diffusers", "opensimplex"):
            pytest.importorskip(package)
    with Operators() as operators:
        small_fit(name, 1)
    assert "convolution_backward" in operators.names  # gradients were seen
    assert not [operator for operator in operators.names if ANY_ORDER.fullmatch(operator)]
