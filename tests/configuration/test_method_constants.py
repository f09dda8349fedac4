"""Settings of methods: what the configuration says of them is checked while planning, without running their modules."""

import sys

import pytest
from edited_modules import forget_modules

from patch2loc import method_interface
from patch2loc.configuration import method_registry
from patch2loc.configuration.check import check_method_settings
from patch2loc.configuration.method_constants import Unreadable, constant, declared_names
from patch2loc.errors import InputError

TOY = """
from toysettings.base import PAPER as LONG, CHOICES
from . import base

raise RuntimeError("run")
SHORT: dict = {**LONG, "steps": 5}
SETTINGS = {"smoke": SHORT | {"power": -1.0}, "short": base.SHORTER, "paper": LONG}
"""
BASE = """
import numpy as np

WIDTHS, STEPS = [4, 8], 10 * 3
PAPER = {"steps": STEPS, "power": 2, "norm": "l1", "widths": WIDTHS, "weights": None, "exact": True}
CHOICES = {"norm": ("l1", "l2")}
SHORTER = {name: value for name, value in PAPER.items()}
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A package of one's own that Python finds, and must not run."""
    package = tmp_path / "outside" / "toysettings"
    package.mkdir(parents=True)
    for name, text in {"__init__": "", "method": TOY, "base": BASE}.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(str(package.parent))
    forget_modules("toysettings")
    yield package
    assert "toysettings" not in sys.modules
    forget_modules("toysettings")


def check(name, changes, budget="paper"):
    check_method_settings({"method_settings": {name: changes}, "budget": budget})


@pytest.mark.parametrize("name", method_registry.METHODS)
def test_what_is_read_is_what_the_module_has(name):
    for one in ("SETTINGS", "OWN_SETTINGS", "CHOICES"):
        expected = getattr(method_interface.method(name), one, None)
        assert constant(method_interface.module_name(name), one, None) == expected


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
        check(name, changes)


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
@pytest.mark.parametrize("budget", method_registry.BUDGETS)
def test_settings_that_a_method_can_take_are_not(toy, name, changes, budget):
    check(name, changes, budget)


@pytest.mark.parametrize(
    "text",
    [
        "SETTINGS = made()",
        "SETTINGS = {'paper': {}}\nSETTINGS['paper']['steps'] = 1",
        "SETTINGS = {'paper': {}}\nSETTINGS['paper'].update(steps=1)",
        "SETTINGS = {'paper': {}}\nif True:\n    SETTINGS = {'paper': {'steps': 1}}",
        "from toysettings.base import *",
        "from toysettings.absent import SETTINGS",
        "SETTINGS = SETTINGS",
        "SETTINGS = {'smoke': {}}",
        "",
    ],
)
def test_what_only_the_module_can_tell_is_left_to_the_training(toy, text):
    (toy / "method.py").write_text(text)
    check("toysettings.method", {"steps": "many"})
    if "paper" in text:
        with pytest.raises(Unreadable):
            constant("toysettings.method", "SETTINGS", None)


def test_an_error_of_syntax_is_named_with_its_file_and_line(toy):
    (toy / "method.py").write_text("import numpy\n\ndef fit(:\n")
    with pytest.raises(
        InputError, match=rf"^{toy}/method\.py: line 3: invalid syntax found, Python expected; correct"
    ):
        declared_names("toysettings.method", "PRETRAINED")
