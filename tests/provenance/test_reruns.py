"""What an edit of a module runs again: Snakemake compares the hashes of the code behind each rule."""

import ast
import re

import pytest
from repository_paths import ROOT

from patch2loc.configuration.method_registry import METHODS, scoring_modules
from patch2loc.method_interface import module_name
from patch2loc.provenance.code import PREPROCESSING, module_file, modules_behind

NONE, ALL = frozenset(), frozenset(METHODS)
PATCH_VAE = frozenset({"patch_vae", "patch_vae_uncertainty"})
TEXTURE_Z = frozenset({"texture_z", "texture_z_low", "texture_z_high"})
Z_SCORES = TEXTURE_Z | frozenset({"zscore", "zscore_bright", "zscore_dark"})
LOCATION_NETWORK = PATCH_VAE | frozenset(
    {
        "patch2loc",
        "patch2loc_robust",
        "patch2loc_multiscale",
        "patch2loc_unpadded",
        "patch2loc_robust_unpadded",
        "patch2loc_robust_multiscale",
        "patch2loc_covered",
        "dae_patch2loc",
        "fae_patch2loc",
        "patch2loc_inpainted",
    }
)
UNPADDED_NETWORK = PATCH_VAE | frozenset(
    {
        "patch2loc_unpadded",
        "patch2loc_robust_unpadded",
        "patch2loc_robust_multiscale",
        "patch2loc_covered",
    }
)
# Module: methods that are trained again, methods that score again, whether every scan is evaluated again.
EDITS = {
    "configuration.check": (NONE, NONE, False),
    "configuration.combinations": (NONE, NONE, False),
    "configuration.method_names": (NONE, NONE, False),
    "configuration.method_registry": (NONE, NONE, False),
    "configuration.method_settings": (NONE, NONE, False),
    "configuration.prerequisites": (NONE, NONE, False),
    "data.labels": (NONE, NONE, False),
    "data.splits": (NONE, NONE, False),
    "tables.table1": (NONE, NONE, False),
    "tables.layout": (NONE, NONE, False),
    "figures.method_styles": (NONE, NONE, False),
    "figures.training_progress": (NONE, NONE, False),
    "report.page": (NONE, NONE, False),
    "watching.record": (NONE, NONE, False),
    "provenance.crate": (NONE, NONE, False),
    "metrics.ranking": (NONE, NONE, True),
    "score.calibration": (NONE, NONE, True),
    "score.job": (NONE, ALL, False),
    "score.scoring": (NONE, ALL, False),
    "train": (ALL, NONE, False),
    "standardize": (ALL, ALL, False),
    "network.location": (LOCATION_NETWORK, LOCATION_NETWORK, False),
    "network.inference": (LOCATION_NETWORK, LOCATION_NETWORK, False),
    "network.prediction": (LOCATION_NETWORK, LOCATION_NETWORK, False),
    "network.unpadded": (UNPADDED_NETWORK, UNPADDED_NETWORK, False),
    "network.patch_vae": (PATCH_VAE, PATCH_VAE, False),
    "network.patch_vae_training": (PATCH_VAE, PATCH_VAE, False),
    "methods.dae": (NONE, NONE, False),
    "methods.dae.model": (
        frozenset({"dae", "dae_patch2loc"}),
        frozenset({"dae", "dae_patch2loc"}),
        False,
    ),
    "methods.reconstruction.inpainting": (
        frozenset({"phanes", "patch2loc_inpainted"}),
        frozenset({"phanes", "patch2loc_inpainted"}),
        False,
    ),
    "methods.zscore.model": (Z_SCORES, Z_SCORES, False),
    "methods.texture_z.model": (TEXTURE_Z, TEXTURE_Z, False),
    "methods.reconstruction.diffusion": (
        frozenset({"ddpm", "pddpm", "cddpm"}),
        frozenset({"ddpm", "pddpm", "cddpm"}),
        False,
    ),
}


def hashed_modules(rule: str, method: str | None = None) -> list[str]:
    """Modules whose code, with all that they import, is the parameter `code` of a rule."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "rules").glob("*.smk")))
    body = re.search(rf"^rule {rule}:\n(.*?)(?=^\S)", f"{text}\nend", re.MULTILINE | re.DOTALL)[1]
    arguments = re.search(r"code=(?:lambda wildcards: )?code_hash\((.*?)\),\n", body, re.DOTALL)[1]
    names = re.findall(r'"(patch2loc\.[\w.]+)"', arguments)
    if "scoring_modules(wildcards.method)" in arguments:
        names += scoring_modules(method)
    return [*names, module_name(method)] if "module_name(wildcards.method)" in arguments else names


@pytest.fixture(scope="module")
def behind():
    """Modules whose edit runs a job again: {rule: {method: modules}}; of evaluate, {rule: modules}."""
    by_method = {
        rule: {method: set(modules_behind(hashed_modules(rule, method))) for method in METHODS}
        for rule in ("train", "score")
    }
    return by_method | {"evaluate": set(modules_behind(hashed_modules("evaluate")))}


def test_the_modules_of_the_rules_are_found():
    assert hashed_modules("train", "thresh") == ["patch2loc.train", "patch2loc.methods.thresh.model"]
    assert hashed_modules("score", "thresh") == ["patch2loc.score.job", "patch2loc.methods.thresh.model"]
    assert hashed_modules("score", "patch2loc") == [
        "patch2loc.score.job",
        "patch2loc.score.patch_predictions",
        "patch2loc.methods.patch2loc.model",
    ]
    assert hashed_modules("evaluate") == ["patch2loc.evaluate.subjects"]


@pytest.mark.parametrize("module", EDITS)
def test_an_edit_runs_again_what_depends_on_it_and_nothing_else(module, behind):
    name = f"patch2loc.{module}"
    assert module_file(name)
    trained, scored = (
        frozenset(method for method, modules in behind[rule].items() if name in modules)
        for rule in ("train", "score")
    )
    assert (trained, scored, name in behind["evaluate"]) == EDITS[module]


def test_nothing_that_plans_tabulates_or_draws_is_behind_a_training_or_scoring(behind):
    later = (
        "configuration",
        "plan",
        "estimate",
        "tables",
        "figures",
        "report",
        "watching",
        "evaluate",
        "own_scan",
        "acquire",
    )
    for rule in ("train", "score"):
        for method, modules in behind[rule].items():
            assert not {name for name in modules if name.split(".")[1] in later}, (rule, method)


# Imports of scripts that decide no result: what they say comes as params, is recorded beside a result, or says how
# files are written and where networks compute.
DECIDES_NOTHING = (
    "configuration.",
    "provenance.record",
    "files",
    "errors",
    "engine.device",
    "data.results",
    "figures.style",  # behind every figure
)
# Words in a rule for modules that its hash covers besides those it names.
HASHED_BY = {
    "PREPROCESSING": PREPROCESSING,
    "params_of(output)": ("patch2loc.tables.formats",),
    "module_name(wildcards.method)": ("patch2loc.methods.patch2loc.model",),
    "scoring_modules(": scoring_modules("patch2loc"),
}
# Of archives and scans: what they hold does not change with the code that unpacks, fetches or counts them.
WITHOUT_HASH = {"data.py", "download.py", "unpack.py", "fetch_scans.py"}


def modules_of_scripts() -> dict[str, set[str]]:
    """{script: modules whose code the rules that run it hash}; a rule made from another one adds its own."""
    modules = {}
    for path in sorted((ROOT / "rules").glob("*.smk")):
        script_of_rule = {}
        blocks = re.split(r"^(?=(?:use )?rule |for )", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for block in blocks[1:]:
            original, name = re.match(r"(?:use rule (\w+) as )?(?:rule )?(\w+)", block).groups()
            named = re.search(r'script:\s*"\.\./workflow/scripts/(\w+\.py)"', block)
            script = named[1] if named else script_of_rule.get(original)
            if script is None:
                continue  # a target
            script_of_rule[name] = script
            hashed = modules.setdefault(script, set())
            hashed.update(re.findall(r'"(patch2loc\.[\w.]+)"', block))
            for constant, names in HASHED_BY.items():
                if constant in block:
                    hashed.update(names)
    return modules


def imports_of(script: str) -> set[str]:
    """Modules of the library that a script imports and that may decide its result."""
    path = ROOT / "workflow/scripts" / script
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("patch2loc"):
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                names.add(inner if module_file(inner) else node.module)
    return {name for name in names if not name.removeprefix("patch2loc.").startswith(DECIDES_NOTHING)}


@pytest.mark.parametrize("script", sorted(set(modules_of_scripts()) - WITHOUT_HASH))
def test_the_hash_of_a_rule_covers_what_its_script_imports(script):
    assert imports_of(script) - set(modules_behind(modules_of_scripts()[script])) == set()
