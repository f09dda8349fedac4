"""Rules declare jobs and hold no logic: each names its log and environment, and the library does the rest."""

import re

from repository_paths import ROOT

RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
MOST_LINES_OF_COMMON = 150
MOST_LOOPS = 2  # in one entry of a rule: every fold of every dataset
# Conditions that rules have, such as a comprehension's `if`; a new one belongs into the library.
CONDITIONS = {
    "preprocess": 1,
    "score": 1,
    "subject_lists": 1,
    "train": 1,
    "viewer": 1,
    "report_page": 2,
}

# The first line of a rule, and all deeper ones after it.
RULE = re.compile(
    r"^(?P<indent> *)(?:use rule \w+ as (?P<derived>\w+) with|rule ?(?P<name>\w*)):\n"
    r"(?P<body>(?:(?P=indent) +\S.*\n|\n)+)",
    re.MULTILINE,
)
LOCAL_RULES = re.compile(r"^localrules:\n((?: +\w+,\n)+)", re.MULTILINE)
TEXT = re.compile(r'""".*?"""|"[^"\n]*"|#[^\n]*', re.DOTALL)
STATEMENT = re.compile(r"^ +(?:for|if|elif|else|while|try|with|def|run|shell)\b.*:$", re.MULTILINE)
PRIVATE = re.compile(r"\brules\.\w+\.rule\b|\b\w+\._\w+")


def rule_problems(text: str) -> list[str]:
    """What is wrong with the rules in the text of a rule file."""
    local = {name.strip() for names in LOCAL_RULES.findall(text) for name in names.split(",")}
    problems = [f"{private} is private to Snakemake" for private in PRIVATE.findall(TEXT.sub("", text))]
    for rule in RULE.finditer(text):
        name = rule["derived"] or rule["name"]
        code = TEXT.sub("", rule["body"])
        directives = set(re.findall(rf"^{rule['indent']} {{4}}(\w+):", code, re.MULTILINE))
        # A derived rule has the environment of the other one, not its log.
        expected = set() if name in local else {"log"} if rule["derived"] else {"log", "conda"}
        problems += [f"{name}: no {directive}" for directive in sorted(expected - directives)]
        problems += [f"{name}: {statement.strip()}" for statement in STATEMENT.findall(code)]
        if len(re.findall(r"\bif\b", code)) > CONDITIONS.get(name, 0):
            problems.append(f"{name}: a new condition")
        entries = re.split(rf"\n(?={rule['indent']} {{8}}\S)", code)
        if max(len(re.findall(r"\bfor\b", entry)) for entry in entries) > MOST_LOOPS:
            problems.append(f"{name}: more than {MOST_LOOPS} loops")
    return problems


def test_rules_hold_no_logic_and_name_their_log_and_environment():
    problems = {path.name: rule_problems(path.read_text(encoding="utf-8")) for path in RULE_FILES}
    assert {name: of_file for name, of_file in problems.items() if of_file} == {}


def test_every_rule_is_read():
    text = "".join(path.read_text(encoding="utf-8") for path in RULE_FILES)
    assert len(RULE.findall(text)) == len(re.findall(r"^ *(?:use )?rule\b.*:$", text, re.MULTILINE))
    assert CONDITIONS.keys() <= {rule["derived"] or rule["name"] for rule in RULE.finditer(text)}


def test_what_all_rules_share_stays_short():
    lines = (ROOT / "rules/common.smk").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= MOST_LINES_OF_COMMON


def test_a_rule_with_logic_or_without_a_log_is_named():
    inputs = "    input:\n        [x for x in y if x],\n"
    rule = f'rule a:\n{inputs}    conda:\n        "e"\n    run:\n        f(workflow._x)\n'
    assert rule_problems(rule) == [
        "workflow._x is private to Snakemake",
        "a: no log",
        "a: run:",
        "a: a new condition",
    ]
    loops = "localrules:\n    b,\n\n\nrule b:\n    input:\n        [x for x in a for y in x for z in y],\n"
    assert rule_problems(loops) == ["b: more than 2 loops"]
    derived = "use rule a as c with:\n    output:\n        rules.a.rule.output,\n"
    assert rule_problems(derived) == ["rules.a.rule is private to Snakemake", "c: no log"]
