"""Prerequisites of a method's training beside scans: weights from elsewhere, models of other methods."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from patch2loc.errors import InputError
from patch2loc.method_interface import declaration

# Also names in the registry.
WEIGHTS = ("resnet18_imagenet", "vgg19_imagenet", "squeezenet1_1_imagenet", "lpips_squeezenet")


def available_weights(
    method: str, configured: Mapping[str, str | None], registry_rows: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Files of the weights that a method can use and the configuration has: {name: path}.

    Args:
        method: Its name.
        configured: The configuration's `pretrained`, {name: path or None}.
        registry_rows: Rows of the registry, with file and url, by the name of the weights.

    Raises:
        InputError: For the name of weights that there are not, and for a file that is not there.
    """
    paths = {}
    for name in declaration(method).pretrained:
        if name not in WEIGHTS:
            raise InputError(
                f"methods.{method}: pretrained names {name}, one of {', '.join(WEIGHTS)} expected; correct it"
            )
        path = configured.get(name)
        if path is None:
            continue
        if not Path(path).is_file():
            row = registry_rows[name]
            raise InputError(
                f"pretrained.{name}: {path} found, which is no file, the weights {row['file']} expected; get them "
                f"from {row['url']} (`snakemake --cores 1 pretrained` does it), or leave the key out: {method} then "
                "runs without them, and says so"
            )
        paths[name] = str(path)
    return paths


def fallback_note(methods: Sequence[str], configured: Mapping[str, str | None]) -> str:
    """A sentence on the methods that run without weights that they could use, for tables; "" when none does.

    Args:
        methods: Names of the methods that run.
        configured: The configuration's `pretrained`, {name: path or None}.
    """
    absent = _absent_weights(methods, configured)
    without = "; ".join(f"{method}: {', '.join(names)}" for method, names in absent.items())
    return f"Without weights that they could use, in their fallback: {without}." if absent else ""


def fallback_warning(
    methods: Sequence[str],
    configured: Mapping[str, str | None],
    registry_rows: Mapping[str, Mapping[str, str]],
    weights_path: Callable[[str], str],
) -> str:
    """What to do, before weeks of training, about methods that would run without weights; "" when none would.

    Args:
        methods: Names of the methods that run.
        configured: The configuration's `pretrained`, {name: path or None}.
        registry_rows: Rows of the registry, with file and url, by the name of the weights.
        weights_path: Path, by the name of weights, that `snakemake pretrained` downloads them to.
    """
    absent = _absent_weights(methods, configured)
    if not absent:
        return ""
    lines = [f"  {method}: {', '.join(names)}" for method, names in absent.items()]
    needed = [name for name in WEIGHTS if any(name in names for names in absent.values())]
    urls = [f"  {registry_rows[name]['url']}" for name in needed]
    keys = [f"  {name}: {weights_path(name)}" for name in needed]
    return "\n".join(
        [
            "These methods will be trained in their fallback, without weights that their published rows had:",
            *lines,
            "To train them with the weights, run `snakemake --cores 1 pretrained`, which downloads",
            *urls,
            "and name the files in the configuration:",
            "pretrained:",
            *keys,
        ]
    )


def _absent_weights(methods: Sequence[str], configured: Mapping[str, str | None]) -> dict[str, list[str]]:
    """Weights that each method could use and the configuration does not name; methods that lack none are left out."""
    absent = {
        method: [name for name in declaration(method).pretrained if configured.get(name) is None]
        for method in methods
    }
    return {method: names for method, names in absent.items() if names}


def methods_needed(method: str, configured: Sequence[str]) -> tuple[str, ...]:
    """Methods whose models the training of a method takes; InputError when one is not among the configured."""
    needed = declaration(method).needs
    absent = [name for name in needed if name not in configured]
    if absent:
        raise InputError(
            f"methods: {method} found without {', '.join(absent)}, whose models it takes; add them to `methods`"
        )
    return needed
