"""Faults that are planted by rule in source code: where they may stand, and which come first.

A site is a place in a file where a rule applies. Sites come in an order that a seed, the text of
their line and the rule decide, so it hardly changes when lines move.
"""

import hashlib
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BALANCED = r"((?:[^()]|\((?:[^()]|\([^()]*\))*\))*)"
C, CYTHON, PYTHON = "c", "cython", "python"
EVERYWHERE = (C, CYTHON, PYTHON)
COMPILED = (C, CYTHON)


@dataclass(frozen=True)
class Rule:
    """`pattern` becomes `to`, wherever it stands in code of one of the languages."""

    name: str
    pattern: str
    to: str
    languages: tuple[str, ...] = EVERYWHERE


RULES = (
    Rule("minus for plus", r" \+ ", " - "),
    Rule("plus for minus", r" - ", " + "),
    Rule("plus for times", r" \* (?=[\w(])", " + "),
    Rule("times for division", r" //? ", " * "),
    Rule("division for remainder", r" % ", " / ", (C,)),
    Rule("division for remainder", r" % ", " // ", (CYTHON, PYTHON)),
    Rule("not above for below", r" < ", " <= "),
    Rule("below for not above", r" <= ", " < "),
    Rule("not below for above", r" > ", " >= "),
    Rule("above for not below", r" >= ", " > "),
    Rule("unequal for equal", r" == ", " != "),
    Rule("equal for unequal", r" != ", " == "),
    Rule("maximum for minimum", r"\b(min|smaller)\(", "max("),
    Rule("minimum for maximum", r"\b(max|larger)\(", "min("),
    Rule("or for and", r" && ", " || ", (C,)),
    Rule("and for or", r" \|\| ", " && ", (C,)),
    Rule("or for and", r" and ", " or ", (CYTHON, PYTHON)),
    Rule("and for or", r" or ", " and ", (CYTHON, PYTHON)),
    Rule("one for zero", r"(?<![\w.])0(?![\w.])", "1"),
    Rule("two for one", r"(?<![\w.])1(?![\w.])", "2"),
    Rule("three for two", r"(?<![\w.])2(?![\w.])", "3"),
    Rule("width for height", r"\b(\w+)_h\b", r"\1_w"),
    Rule("height for width", r"\b(\w+)_w\b", r"\1_h"),
    Rule("column for row", r"\b(\w+_|)row(s?)\b", r"\1column\2"),
    Rule("row for column", r"\b(\w+_|)column(s?)\b", r"\1row\2"),
    Rule("filters for channels", r"\bchannels\b", "filters"),
    Rule("channels for filters", r"\bfilters\b", "channels"),
    Rule("last for first", r"\bfirst\b", "last"),
    Rule("set for added", r" \+= ", " = "),
    Rule("added for set", r"(?<=[\w\]]) = (?=\w.*;$)", " += ", (C,)),
    Rule("next element", r"(?<=\w)\[(\w+)\](?!\.?\[)", r"[\1 + 1]", COMPILED),
    Rule(
        "statement dropped", r"^( *)[a-zA-Z_]\w*(\(.*\)|[\[\].>\w-]* [-+*/|]?= .*);$", r"\1;", (C,)
    ),
    Rule(
        "statement dropped",
        r"^( *)(?!cdef |return|def |with |for |if )[a-zA-Z_.]+"
        r"(\(.*\)|[\[\].\w]* [-+*/]?= .*[\w)\]])$",
        r"\1pass",
        (CYTHON,),
    ),
    Rule("never", rf"\bif \({BALANCED}\)", r"if (0 && (\1))", (C,)),
    Rule("always", rf"\bif \({BALANCED}\)", r"if (1 || (\1))", (C,)),
    Rule("never", r"\bif ([^:]+):$", r"if False and (\1):", (CYTHON, PYTHON)),
    Rule("always", r"\bif ([^:]+):$", r"if True or (\1):", (CYTHON, PYTHON)),
    Rule("tail dropped", r"\bfor \(; (\w+ < )", r"for (; 0 && \1", (C,)),
    Rule("tail dropped", r"\b(load|store)_upto\)\((.*), [^,()]+\)", r"\1)(\2)", (C,)),
)
LANGUAGES = {".h": C, ".c": C, ".pyx": CYTHON, ".pxd": CYTHON, ".py": PYTHON}
# What is no code, or no calculation.
TOKENS = {
    C: re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|^ *#(?!define).*?$', re.S | re.M),
    PYTHON: re.compile(
        r'""".*?"""|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'|#[^\n]*'
        r"|^(from|import|@|    def|def|class|raise| +raise)\b[^\n]*",
        re.S | re.M,
    ),
}
TOKENS[CYTHON] = re.compile(
    TOKENS[PYTHON].pattern + r"|^(cimport|cdef extern|ctypedef)\b[^\n]*", re.S | re.M
)


@dataclass(frozen=True)
class Site:
    """Where a rule applies: a span of a file's text."""

    path: str
    line: int
    span: tuple[int, int]
    to: str
    rule: str
    before: str
    after: str

    def mutate(self, tree: Path) -> None:
        """Plant the fault in a copy of the sources."""
        file = tree / self.path
        text = file.read_text()
        begin, end = self.span
        file.write_text(text[:begin] + self.to + text[end:])

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.rule}\n    - {self.before}\n    + {self.after}"


def code_of(text: str, language: str) -> str:
    """Return the text with blanks for comments, strings and what is no calculation."""
    return TOKENS[language].sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def sites_of(tree: Path, path: str) -> Iterator[Site]:
    """Yield every place of a file where a rule applies."""
    text = (tree / path).read_text()
    language = LANGUAGES[Path(path).suffix]
    offset = 0
    lines = zip(text.splitlines(keepends=True), code_of(text, language).splitlines(), strict=True)
    for number, (line, code) in enumerate(lines, 1):
        for rule in RULES:
            if language not in rule.languages:
                continue
            for found in re.finditer(rule.pattern, code.rstrip()):
                to = found.expand(rule.to)
                after = line[: found.start()] + to + line[found.end() :]
                span = (offset + found.start(), offset + found.end())
                if after != line:
                    yield Site(path, number, span, to, rule.name, line.strip(), after.strip())
        offset += len(line)


def rank(*words: str) -> str:
    """Return what sorts things as if they were shuffled."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def ordered_sites(tree: Path, paths: list[str], seed: int) -> list[Site]:
    """Return the sites of some files, rule after rule in turn: so common ones don't prevail."""
    by_rule: dict[str, list[Site]] = {}
    for path in paths:
        for site in sites_of(tree, path):
            by_rule.setdefault(site.rule, []).append(site)
    for sites in by_rule.values():
        sites.sort(key=lambda site: rank(str(seed), site.path, site.before, site.after))
    names = sorted(by_rule, key=lambda name: rank(str(seed), *paths, name))
    rounds = itertools.zip_longest(*(by_rule[name] for name in names))
    return [site for sites in rounds for site in sites if site is not None]
