# SPDX-License-Identifier: MIT
"""The mutants of a C file: single small changes of its text that a test should notice. The text is read as
clang-format writes it; nothing is parsed, so a few mutants do not compile."""
import collections
import re

import source_graph

Mutant = collections.namedtuple("Mutant", "path kind start end text")  # of the file, text[start:end] becomes `text`

COMPARISON = {"==": "!=", "!=": "==", "<": ">=", ">": "<=", "<=": ">", ">=": "<"}
BOUNDARY = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
LOGIC = {"&&": "||", "||": "&&"}
KEYWORDS = "if|else|for|while|do|switch|case|default|return|goto|break|continue|sizeof|static|const|typedef"
STATEMENT = re.compile(  # a call, an assignment, or a step, alone on its line
    rf"^([ ]+)(?!(?:{KEYWORDS})\b)(?:\w+(?:(?:->|\.)\w+|\[[^\]\n]*\])*(?:\([^\n]*\)| [-+*/|&^%]?= [^\n]+|\+\+|--)"
    r"|[-+]{2}[^\n]+);$")


def blank(text):
    """The text with comments, literals and directives as blanks, every place where it was."""
    def blanks(match):
        return re.sub(r"[^\n]", " ", match[0])

    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", blanks, source_graph.NOISE.sub(blanks, text), flags=re.M)


def bodies(text):
    """The places of function bodies: (start, end)."""
    start = None
    at = 0
    for line in text.splitlines(keepends=True):
        if line.rstrip("\n") == "{":
            start = at + len(line)
        elif line.startswith("}") and start is not None:
            yield start, at
            start = None
        at += len(line)


def closing(text, at):
    """Where the parenthesis that opens at `at` is closed, or None."""
    depth = 0
    for place in range(at, len(text)):
        depth += (text[place] == "(") - (text[place] == ")")
        if depth == 0:
            return place
    return None


def operators(code, table, kind, path, start, end):
    pattern = r"(?<= )(" + "|".join(re.escape(key) for key in sorted(table, key=len, reverse=True)) + r")(?=[ \n])"
    for match in re.compile(pattern).finditer(code, start, end):
        yield Mutant(path, kind, match.start(), match.end(), table[match[0]])


def off_by_one(code, path, start, end):
    """A number beside a comparison, or added and taken away, is one more; not the size of an array, which only becomes
    larger."""
    for match in re.compile(r"(?<=(?:[<>=] |[-+] ))(\d+)(?![\w.])").finditer(code, start, end):
        if not re.match(r"\](?:;| = )", code[match.end():match.end() + 4]):
            yield Mutant(path, "boundary", match.start(), match.end(), str(int(match[0]) + 1))


def conditions(code, path, start, end):
    for match in re.compile(r"\b(?:if|while) (\()").finditer(code, start, end):
        close = closing(code, match.start(1))
        if close is not None:
            condition = code[match.start(1):close + 1]
            yield Mutant(path, "negated condition", match.start(1), close + 1, f"(!{condition})")


def statements(code, path, start, end):
    at = start
    before = "{"
    for line in code[start:end].splitlines(keepends=True):
        match = STATEMENT.match(line.rstrip("\n"))
        is_whole = line.count("(") == line.count(")")
        is_first = before.endswith(("{", "}", ":", ")", "else")) or (  # not the second part of a `for`
            before.endswith(";") and before.count("(") == before.count(")"))
        if match and is_whole and is_first:
            yield Mutant(path, "deleted statement", at + len(match[1]), at + len(line.rstrip("\n")), ";")
        if line.strip():
            before = line.strip()
        at += len(line)


def returns(code, path, start, end):
    for match in re.compile(r"\breturn ([^;]+);").finditer(code, start, end):
        value = match[1].strip()
        other = {"0": "1", "true": "false", "false": "true", "NULL": None}.get(value, "0")
        if other is not None:
            yield Mutant(path, "returned constant", match.start(1), match.end(1), other)


def mutants_of(path, text):
    """All mutants of a file, by their place."""
    code = blank(text)
    found = []
    for start, end in bodies(code):
        found += operators(code, COMPARISON, "comparison", path, start, end)
        found += operators(code, BOUNDARY, "boundary", path, start, end)
        found += operators(code, LOGIC, "swapped && and ||", path, start, end)
        found += off_by_one(code, path, start, end)
        found += conditions(code, path, start, end)
        found += statements(code, path, start, end)
        found += returns(code, path, start, end)
    # A condition's text is the file's own, with its literals.
    return [mutant._replace(text=f"(!{text[mutant.start:mutant.end]})") if mutant.kind == "negated condition" else mutant
            for mutant in sorted(found, key=lambda mutant: (mutant.start, mutant.kind))]


def apply(text, mutant):
    return text[:mutant.start] + mutant.text + text[mutant.end:]


def sample(mutants, size, random):
    """`size` of the mutants, as many of each kind as there can be; always the same for the same random seed."""
    by_kind = collections.defaultdict(list)
    for mutant in mutants:
        by_kind[mutant.kind].append(mutant)
    for kind in sorted(by_kind):
        random.shuffle(by_kind[kind])
    taken = []
    while len(taken) < size and any(by_kind.values()):
        for kind in sorted(by_kind):
            if by_kind[kind] and len(taken) < size:
                taken.append(by_kind[kind].pop())
    return taken
