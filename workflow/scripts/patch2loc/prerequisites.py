"""What the training of a method takes beside scans: weights from elsewhere, models of other methods.

A method's module names them in two tuples, written out, since they are read without running the module (planning
needs no torch):
    PRETRAINED = ("resnet18_imagenet",)  weights that it can use, keys of the configuration's `pretrained`
    NEEDS = ("patch2loc",)               methods whose models of the same modality and fold it takes
"""

import ast
from collections.abc import Mapping, Sequence
from pathlib import Path

from patch2loc.errors import InputError
from patch2loc.files import sha256
from patch2loc.methods import module_name
from patch2loc.provenance import module_file, syntax_tree

WEIGHTS = ("resnet18_imagenet", "vgg19_imagenet", "squeezenet1_1_imagenet")  # also names in the registry


def declared(method: str, constant: str) -> tuple[str, ...]:
    """A tuple of names, PRETRAINED or NEEDS, that the module of a method writes out; () without it.

    Raises InputError when it is anything but text written out.
    """
    path = module_file(module_name(method))
    if path is None:
        raise InputError(f"methods: {method} found, no such module; name its folder in PYTHONPATH")
    for node in syntax_tree(path).body:
        if isinstance(node, ast.Assign) and constant in [ast.unparse(target) for target in node.targets]:
            try:
                names = ast.literal_eval(node.value)
            except ValueError:
                names = None
            if isinstance(names, tuple) and all(isinstance(name, str) for name in names):
                return names
            raise InputError(
                f"{path}: {constant} = {ast.unparse(node.value)} found, a tuple of text expected, written out like "
                '("one", "two"); write it so'
            )
    return ()


def weights_given(
    method: str, configured: Mapping[str, str | None], published: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Files of the weights that a method can use and the configuration has: {name: path}.

    configured: {name: path or None}, the configuration's `pretrained`.  published: rows of the registry by name.
    Raises InputError for a name that there is not, and for a file that is not there.
    """
    found = {}
    for name in declared(method, "PRETRAINED"):
        if name not in WEIGHTS:
            raise InputError(
                f"methods.{method}: PRETRAINED names {name}, one of {', '.join(WEIGHTS)} expected; correct it"
            )
        path = configured.get(name)
        if path is None:
            continue
        if not Path(path).is_file():
            row = published[name]
            raise InputError(
                f"pretrained.{name}: {path} found, which is no file, the weights {row['file']} expected; get them "
                f"from {row['url']} (`snakemake --cores 1 pretrained` does it), or leave the key out: {method} then "
                "runs without them, and says so"
            )
        found[name] = str(path)
    return found


def fallbacks(methods: Sequence[str], configured: Mapping[str, str | None]) -> str:
    """A sentence on the methods that run without weights that they could use, for tables; "" when none does.

    configured: {name: path or None}, the configuration's `pretrained`.
    """
    without = {
        method: [name for name in declared(method, "PRETRAINED") if configured.get(name) is None]
        for method in methods
    }
    found = "; ".join(f"{method}: {', '.join(names)}" for method, names in without.items() if names)
    return f"Without weights that they could use, in their fallback: {found}." if found else ""


def methods_needed(method: str, configured: Sequence[str]) -> tuple[str, ...]:
    """Methods whose models the training of a method takes.

    configured: the methods of the run.  Raises InputError when one is not among them.
    """
    needed = declared(method, "NEEDS")
    absent = [name for name in needed if name not in configured]
    if absent:
        raise InputError(
            f"methods: {method} found without {', '.join(absent)}, whose models it takes; add them to `methods`"
        )
    return needed


def digest(path: str | Path, published: Mapping[str, str]) -> str:
    """SHA-256 of a file of weights, held against that of its row of the registry (file, url, checksum), where known.

    Raises InputError when it is another one than expected.
    """
    found = sha256(path)
    if published["checksum"] not in ("", f"sha256:{found}"):
        raise InputError(
            f"{path}: sha256:{found} found, {published['checksum']} expected, that of {published['file']}; get it "
            f"from {published['url']}"
        )
    return found
