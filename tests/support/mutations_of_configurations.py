"""Mutations of configurations: of the text of the file, and of its values."""

import copy
from functools import partial

import yaml
from hypothesis import strategies as some
from mutations import Mutation, plain
from mutations_of_models import leaves

# Text: functions of a configuration's text that give bytes.


def encoded(text, encoding):
    return text.encode(encoding)


def key_twice(text, line, value):
    """A key of the file once more, at its place and with another value."""
    lines = text.splitlines()
    keys = [number for number, content in enumerate(lines) if _is_key(content)]
    place = keys[line % len(keys)]
    key = lines[place].partition(":")[0]
    if not lines[place].partition(":")[2].strip():
        value = "{}"
    return "\n".join([*lines[:place], f"{key}: {value}", *lines[place:]]).encode()


def _is_key(line):
    return ":" in line and not line.lstrip().startswith(("#", "-"))


def indented(text, line, spaces):
    lines = text.splitlines()
    lines[line % len(lines)] = spaces + lines[line % len(lines)]
    return "\n".join(lines).encode()


def character(text, place, letter):
    return (text[: int(place * len(text))] + letter + text[int(place * len(text)) :]).encode(
        "utf-8", "surrogatepass"
    )


def cut(text, share):
    return text[: int(share * len(text))].encode()


def more(text, end):
    return (text + end).encode()


def line_ends(text, end):
    return text.replace("\n", end).encode()


def written_again(text, flow):
    """The same values in another style of YAML."""
    return yaml.safe_dump(yaml.safe_load(text), default_flow_style=flow, sort_keys=True).encode()


ENDS = [
    "\n---\nseed: 8\n",
    "\n<<: {seed: 8}\n",
    "\nseed: !!python/object/apply:os.system ['touch trace']\n",
    "\nseed: 0o17\n",
    "\n? [a, b]\n: c\n",
    "\n\0",
    "\n}",
    "\nphantom: *nothing\n",
    "\n%YAML 3.0\n",
    "\nunknown: 1\n",
]

# Values: functions of a configuration that change it.


def replaced(config, path, value):
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = copy.deepcopy(value)


def removed(config, path):
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    del holder[path[-1]]


def renamed(config, path, change):
    holder = config
    for key in path[:-1]:
        holder = holder[key]
    name = path[-1]
    holder[change(str(name))] = holder.pop(name)


# Nothing that any key may be.
ABSURD = [
    -1,
    -(10**9),
    0.1234567,
    10**12,
    2**64,
    2**70,
    1e300,
    float("nan"),
    float("inf"),
    [],
    [[]],
    [None],
    {"": 1},
    {1: 1},
    "",
    "\0",
    " ",
    "{subject}",
    "s3://bucket/x",
    "a\nb",
    "x" * 5000,
    "$(touch trace)",
    True,
    None,
]
SPELLINGS = {
    "upper case": str.upper,
    "a letter more": lambda name: name + "s",
    "a letter less": lambda name: name[:-1],
    "a space": lambda name: name + " ",
    "a hyphen": lambda name: name.replace("_", "-") + "-",
}


def written(text, change):
    config = yaml.safe_load(text)
    change(config)
    return yaml.safe_dump(config, sort_keys=False).encode()


def texts(text):
    """Mutations of a configuration's text, functions of it that give bytes."""
    valid = yaml.safe_load(text)
    paths = [path for path, _ in leaves(valid)]
    same = partial(_named, harmless=True)
    return some.one_of(
        same("encoded", encoded, encoding=some.just("utf-8-sig")),
        same("line ends", line_ends, end=some.just("\r\n")),
        same("written again", written_again, flow=some.booleans()),
        same("comment", more, end=some.sampled_from(["\n# größe", "\n\n", "\n...\n"])),
        _named(
            "encoded otherwise",
            encoded,
            encoding=some.sampled_from(["utf-16", "utf-32", "utf-16-le", "cp037"]),
        ),
        _named(
            "key twice",
            key_twice,
            line=some.integers(0, 200),
            value=some.sampled_from(["8", "x", "[]", "null"]),
        ),
        _named(
            "indented",
            indented,
            legal=True,
            line=some.integers(0, 200),
            spaces=some.sampled_from([" ", "  ", "\t", "\u00a0"]),
        ),
        _named(
            "character",
            character,
            legal=True,
            place=some.floats(0, 1),
            letter=some.sampled_from(["\0", "\t", "\ud800", "\x1b", "{", "]", "'", '"', "%", "@", "\u2028"]),
        ),
        _named("cut", cut, legal=True, share=some.floats(0, 0.95)),
        _named("more", more, end=some.sampled_from(ENDS)),
        some.builds(
            lambda path, value: _written(
                f"value: {'.'.join(map(str, path))} {value!r:.60}",
                replaced,
                path,
                value,
                legal=path == ("results",),  # a folder may have any name that is one
            ),
            some.sampled_from(paths),
            some.sampled_from(ABSURD) | plain,
        ),
        some.builds(
            lambda path: _written(f"key missing: {'.'.join(map(str, path))}", removed, path, legal=True),
            some.sampled_from(paths),
        ),
        some.builds(
            lambda path, spelling: _written(
                f"key misspelt: {'.'.join(map(str, path))} {spelling}", renamed, path, SPELLINGS[spelling]
            ),
            some.sampled_from(paths),
            some.sampled_from(list(SPELLINGS)),
        ),
    )


def _written(name, change, *values, legal=False):
    return Mutation(name, partial(written, change=lambda config: change(config, *values)), legal=legal)


def _named(name, change, /, *, harmless=False, legal=False, **parameters):
    def of(**drawn):
        words = ", ".join(f"{key} {value!r}" for key, value in drawn.items())
        return Mutation(f"{name}: {words}", partial(change, **drawn), harmless, legal)

    return some.builds(of, **parameters)
