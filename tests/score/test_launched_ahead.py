"""A scan is begun before the one before it is waited for."""

import pytest

from patch2loc.score.launched_ahead import launched_ahead


def launches(said, count, broken=None):
    def launch(number):
        if number == broken:
            raise ValueError(f"scan {number}")
        said.append(f"launch {number}")

        def result():
            said.append(f"wait {number}")
            return number

        return result

    return [lambda number=number: launch(number) for number in range(count)]


@pytest.mark.parametrize(
    ("ahead", "order"),
    [
        (0, ["launch 0", "wait 0", "launch 1", "wait 1", "launch 2", "wait 2"]),
        (1, ["launch 0", "launch 1", "wait 0", "launch 2", "wait 1", "wait 2"]),
    ],
)
def test_results_are_in_order_and_the_next_scan_is_launched_first(ahead, order):
    said = []
    assert list(launched_ahead(launches(said, 3), ahead)) == [0, 1, 2]
    assert said == order


@pytest.mark.parametrize("ahead", [0, 1])
def test_an_error_of_a_scan_comes_after_the_scans_before_it(ahead):
    results = launched_ahead(launches([], 4, broken=2), ahead)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="scan 2"):
        next(results)
