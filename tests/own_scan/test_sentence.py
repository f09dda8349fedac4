import numpy as np
import pytest

from patch2loc.own_scan.answer import ScanWarning
from patch2loc.own_scan.sentence import answer_sentence, expected_ml

ML = {"count": 2, "abnormal_ml": 3.44, "healthy_ml": np.arange(28) / 10}


def rank(excess, healthy):
    return answer_sentence(excess, np.array(healthy, float), **ML).split(";")[0]


def test_the_whole_sentence():
    sentence = answer_sentence(26.5, np.arange(28), **ML)
    assert sentence == (
        "More abnormal than 96 % of 28 healthy scans; 2 candidates, 3.4 ml; "
        "expected in a healthy scan 1.4 ml (at most 2.6 ml in 95 %)."
    )
    warnings = [ScanWarning("known_scan", ""), ScanWarning("quality", "a"), ScanWarning("quality", "b")]
    warned = answer_sentence(26.5, np.arange(28), **ML, warnings=warnings)
    assert warned == f"{sentence} Warnings: known scan, quality."


@pytest.mark.parametrize(
    ("excess", "healthy", "said"),
    [
        (28, range(28), "More abnormal than all 28 healthy scans"),  # not 100 %, nor 98.3
        (0.5, range(1, 29), "Less abnormal than all 28 healthy scans"),
        (0, [0] * 7 + [1] * 21, "As little abnormal as 7 of 28 healthy scans"),
        (
            998.5,
            range(1000),
            "More abnormal than 99 % of 1000 healthy scans",
        ),  # 99.9, which is not all of them
        (6.5, range(8), "More abnormal than 7 of 8 healthy scans"),
        (2, [1], "More abnormal than all 1 healthy scan"),
    ],
)
def test_nothing_finer_than_the_healthy_scans_tell_is_said(excess, healthy, said):
    assert rank(excess, healthy) == said


def test_a_scan_without_candidates():
    sentence = answer_sentence(0, np.zeros(30), count=0, abnormal_ml=0, healthy_ml=np.zeros(30))
    assert sentence == (
        "As little abnormal as 30 of 30 healthy scans; no candidate; "
        "expected in a healthy scan 0.0 ml (at most 0.0 ml in 95 %)."
    )


@pytest.mark.parametrize(("count", "most"), [(8, 7), (19, 18), (20, 18), (21, 19), (28, 26), (100, 94)])
def test_at_least_95_percent_of_healthy_scans_have_no_more_than_stated(count, most):
    healthy_ml = np.arange(count, dtype=float)
    assert expected_ml(healthy_ml) == {"median": (count - 1) / 2, "most": most}
    assert np.mean(healthy_ml <= most) >= 0.95


def test_few_healthy_scans_state_their_greatest_volume():
    said = answer_sentence(1, np.arange(8), count=1, abnormal_ml=0.25, healthy_ml=np.arange(8.0))
    assert said.endswith("1 candidate, 0.2 ml; expected in a healthy scan 3.5 ml (at most 7.0 ml).")
