import pytest
import torch

from patch2loc.engine.halving import halved_until_it_fits


def test_half_as_much_is_tried_until_it_fits():
    tried = []

    def compute(at_once):
        tried.append(at_once)
        if at_once > 30:
            raise torch.OutOfMemoryError("more than 30")
        return "result"

    assert halved_until_it_fits(compute, 201) == ("result", 26)
    assert tried == [201, 101, 51, 26]


def test_where_one_does_not_fit_the_error_is_raised():
    def compute(at_once):
        raise torch.OutOfMemoryError(f"not even {at_once}")

    with pytest.raises(torch.OutOfMemoryError, match="not even 1"):
        halved_until_it_fits(compute, 5)
