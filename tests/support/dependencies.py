"""What the code imports from outside, and what pyproject.toml, the locks and the conda environments say of it."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, requires

import yaml
from packaging.requirements import Requirement
from repository_paths import LIBRARY, ROOT

from patch2loc.plan.outputs import OUTPUTS
from patch2loc.plan.paper_figures import PAPERS_FIGURES
from patch2loc.provenance.code import module_file

SCRIPTS = ROOT / "workflow" / "scripts"
ENVIRONMENTS = {path.stem: path for path in sorted((ROOT / "envs").glob("*.yaml"))}  # of rules
OF_SNAKEMAKE = ROOT / "envs" / "tools" / "snakemake.yaml"
LOCKS = {kind: ROOT / name for kind, name in (("cuda", "requirements.txt"), ("cpu", "requirements-cpu.txt"))}
IMPORT_NAMES = {
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
    "intensity_normalization": "intensity-normalization",
    "PIL": "pillow",
    "mpl_toolkits": "matplotlib",
}
# What no import names, and how the code names it: maps of nilearn are read as files, dcm2niix is a program, others are
# called by name or by pandas.
NAMED_OTHERWISE = {
    "dcm2niix": ('TOOL = "dcm2niix"',),
    "nilearn": ('find_spec("nilearn")',),
    "diffusers": ('optional("diffusers")',),
    "opensimplex": ('optional("opensimplex")',),
    "kornia": ('import_module("kornia.enhance")',),
    "pyarrow": (".to_parquet(", "pd.read_parquet"),
    "tabulate": ("table.to_markdown(",),
}


def canonical(name):
    """The name of a package as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(kind="cuda"):
    """The lines of a lock: [Requirement]."""
    lines = LOCKS[kind].read_text(encoding="utf-8").splitlines()
    return [Requirement(line.removesuffix(" \\")) for line in lines if line[:1].isalpha()]


def pinned_version(requirement):
    """The one version that a line of a lock allows."""
    (pin,) = requirement.specifier
    assert pin.operator == "==", requirement
    return pin.version


def pins(kind="cuda"):
    """{package: version} of a lock, on this system where that makes a difference."""
    lines = sorted(locked(kind), key=lambda line: line.marker is None or line.marker.evaluate())
    return {canonical(line.name): pinned_version(line) for line in lines}


def environment_pins(path):
    """{package: version} of a conda environment; "" for what has no pin."""
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    pins = [entry.partition("=")[::2] for entry in entries if isinstance(entry, str)]
    pins += [pin.partition("==")[::2] for entry in entries if isinstance(entry, dict) for pin in entry["pip"]]
    return {canonical(name): version for name, version in pins}


def scripts_of_rules():
    """[(rule, environment, script)] of every rule in rules/*.smk that has a script of its own."""
    constants = {name.upper(): name for name in ENVIRONMENTS}
    constants["ENVIRONMENTS"] = "statistics"  # of each table and figure its own (`code_of`)
    rules = []
    for path in sorted((ROOT / "rules").glob("*.smk")):
        for block in re.split(r"^(?= *rule\b.*:$)", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
            script = re.search(r'script:\s*"\.\./workflow/scripts/(\w+\.py)"', block)
            if script:
                name = re.search(r"rule (\w+):", block)
                environment = constants[re.search(r"conda:\s*(\w+)", block)[1]]
                rules.append((name[1] if name else script[1], environment, SCRIPTS / script[1]))
    return rules


def code_of(environment):
    """The files whose code runs in an environment of rules: their scripts and all that these reach."""
    roots = {script for _, name, script in scripts_of_rules() if name == environment}
    outputs = [output for output in (*OUTPUTS, *PAPERS_FIGURES) if output.environment == environment]
    roots |= {module_file(output.module) for output in outputs}  # imported by name
    if environment == "network":  # methods are imported by the names that the configuration has
        roots |= {*(LIBRARY / "methods").rglob("*.py")}
    if environment == "imaging":  # so are the readers of archives
        roots |= {*(LIBRARY / "acquire" / "unpack").glob("*.py")}
    return reached(*roots, by_name=True)


def code_of_planning():
    """The files whose code runs in the process of Snakemake, or starts it."""
    lines = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "rules").glob("*.smk"))
    roots = {ROOT / "workflow" / "run.py"}
    for statement in re.findall(r"^from patch2loc\b.+", lines, re.MULTILINE):
        roots |= _files_and_packages(ast.parse(statement))[0]
    return reached(*roots)


def used_packages(files):
    """Packages from outside that files import, or name in another way."""
    texts = [path.read_text(encoding="utf-8") for path in files]
    named = {
        package
        for package, ways in NAMED_OTHERWISE.items()
        if any(way in text for way in ways for text in texts)
    }
    return named.union(*(imported(path)[1] for path in files))


def declared():
    """What pyproject.toml asks for: {"": [Requirement] of everybody, extra: [Requirement]}."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(entry) for entry in entries] for extra, entries in groups.items()}


def declared_names(*extras):
    """Names of the packages that everybody needs and those of the extras."""
    groups = declared()
    return {canonical(entry.name) for extra in ("", *extras) for entry in groups[extra]}


def installed_with(names):
    """The packages and all that they bring, by what is installed here."""
    waiting, seen = sorted(names), set()
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        try:
            entries = [Requirement(entry) for entry in requires(name) or ()]
        except PackageNotFoundError:  # of another system or another build of torch
            continue
        waiting += [
            canonical(e.name) for e in entries if e.marker is None or e.marker.evaluate({"extra": ""})
        ]
    return seen


@cache
def imported(path):
    """What a file imports: (files of this package or beside it, packages from outside)."""
    return _files_and_packages(ast.parse(path.read_text(encoding="utf-8")))


def _files_and_packages(tree):
    files, packages = set(), set()
    for node in _executed(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            top = name.split(".")[0]
            if top == "patch2loc" or (SCRIPTS / f"{top}.py").is_file():
                files |= _files_of(name)
            elif top not in sys.stdlib_module_names:
                packages.add(IMPORT_NAMES.get(top, canonical(top)))
    return files, packages


def _executed(tree):
    """The nodes of a tree but what is below `if TYPE_CHECKING:`, which no run executes."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            yield node
            waiting += ast.iter_child_nodes(node)


def _files_of(module):
    base = SCRIPTS.joinpath(*module.split("."))
    return {file for file in (base.with_suffix(".py"), base / "__init__.py") if file.is_file()}


@cache
def imported_by_name(path):
    """Files of this package whose modules a file has as text, such as import_module("patch2loc.network.lightning")."""
    names = re.findall(r'"(patch2loc(?:\.\w+)+)"', path.read_text(encoding="utf-8"))
    return set().union(*map(_files_of, names))


def reached(*roots, by_name=False):
    """The files and all that they import of this package, directly or not, and perhaps by the name of a module."""
    waiting, seen = list(roots), set()
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting.extend(imported(file)[0] | (imported_by_name(file) if by_name else set()))
    return seen


def third_party(path):
    """Packages from outside that a script or module imports, directly or through this package."""
    return set().union(*(imported(file)[1] for file in reached(path)))
