"""Settings of methods: what the configuration says of them is held against what methods declare."""

import pytest
from edited_modules import forget_modules

from patch2loc.configuration.method_settings import resolve_settings
from patch2loc.errors import InputError
from patch2loc.method_declaration import BUDGETS

TOY = """
from patch2loc.method_declaration import Declaration

PAPER = {"steps": 30, "power": 2, "norm": "l1", "widths": [4, 8], "weights": None, "exact": True}
METHOD = Declaration(
    settings={"smoke": PAPER | {"steps": 5, "power": -1.0}, "short": PAPER, "paper": PAPER},
    choices={"norm": ("l1", "l2")},
)
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A method in a package of its own that Python finds."""
    (tmp_path / "toysettings").mkdir()
    (tmp_path / "toysettings/method.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(tmp_path))
    forget_modules("toysettings")
    yield
    forget_modules("toysettings")


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("ae", {"stepz": 5}, r"ae: stepz found, of batch, dropout, .* expected; correct the names"),
        ("ae", {"budget": "smoke"}, r"ae: budget found, of batch,"),
        ("ae", {"steps": "many"}, r"ae.steps: 'many' found, a whole number such as 19200 expected; correct"),
        ("ae", {"steps": 2.5}, r"ae.steps: 2.5 found, a whole number"),
        ("ae", {"steps": True}, r"ae.steps: True found, a whole number"),
        ("ae", {"steps": None}, r"ae.steps: None found, a whole number"),
        ("vae", {"learning_rate": "1e-4"}, r"'1e-4' found, a number .* \(YAML takes 1e-4 for text; 1.0e-4 is a"),
        ("svae", {"widths": 32}, r"svae.widths: 32 found, a list such as \[32, 64, 128, 128\] expected"),
        ("cddpm", {"encoder_widths": ["x"]}, r"cddpm.encoder_widths: \['x'\] found, a list"),
        ("patch2loc_robust", {"chnges": []}, r"robust: chnges found, of changes, leveled expected"),
        ("patch2loc_robust", {"changes": ["edgee"]}, r"changes: edgee found, of pose, contrast, edge expected"),
        ("patch2loc_robust_unpadded", {"changes": ["edge", "x"]}, r"unpadded.changes: x found, of pose"),
        ("patch2loc_robust_multiscale", {"changes": ["x"]}, r"multiscale.changes: x found, of pose"),
        ("patch2loc_covered", {"sizes": [1]}, r"covered: sizes found, of changes, leveled expected"),
        ("patch2loc_robust", {"changes": "edge"}, r"changes: 'edge' found, a list"),
        ("patch2loc_robust", {"leveled": 1}, r"leveled: 1 found, true or false expected"),
        ("patch2loc_unpadded", {"leveled": True}, r"unpadded: leveled found, nothing expected"),
        ("oracle", {"x": 1}, r"oracle: x found, nothing expected, as oracle has no settings; leave it out"),
        ("toysettings.method", {"stepz": 1}, r"toysettings.method: stepz found, of exact, norm, power, steps"),
        ("toysettings.method", {"norm": "l3"}, r"method.norm: l3 found, of l1, l2 expected"),
        ("toysettings.method", {"norm": 1}, r"method.norm: 1 found, text expected"),
    ],
)  # fmt: skip
def test_settings_that_a_method_cannot_take_are_refused(toy, name, changes, message):
    with pytest.raises(InputError, match=rf"^method_settings\..*{message}"):
        resolve_settings(name, "paper", changes)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ae", {"steps": 5, "learning_rate": 1, "widths": [8, 16]}),
        ("patch2loc_robust", {"changes": ["pose"], "leveled": False}),
        ("patch2loc_robust_unpadded", {"changes": []}),
        ("patch2loc_multiscale", {"sizes": [1, 1.5]}),
        ("patch2loc_robust_multiscale", {"sizes": [1, 1.5], "changes": ["edge"], "leveled": False}),
        ("patch2loc_covered", {"changes": ["pose"], "leveled": False}),
        ("toysettings.method", {"power": 1.5, "norm": "l2", "weights": "any", "exact": False}),
    ],
)
@pytest.mark.parametrize("budget", BUDGETS)
def test_settings_that_a_method_can_take_replace_its_own(toy, name, changes, budget):
    assert resolve_settings(name, budget, changes) == resolve_settings(name, budget) | changes
