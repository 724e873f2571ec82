#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of scripts/lib/mutants.py: which changes of a small C file are tried."""
import pathlib
import random
import sys
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/lib"))
import mutants  # noqa: E402

SOURCE = '''\
#include <stdio.h>
#define LESS(a, b) ((a) < (b))

int less_than(int a, int b)
{
    // a < b && nothing
    char text[4 + 1] = "a < b";
    if (a < b && b != 7) {
        puts(text);
        return 1;
    }
    a = b;
    return a + 1;
}
'''


def lines_after(kind):
    """The changed lines of all mutants of a kind."""
    found = set()
    for mutant in mutants.mutants_of("x.c", SOURCE):
        if mutant.kind == kind:
            before, after = SOURCE.splitlines(), mutants.apply(SOURCE, mutant).splitlines()
            found |= {new.strip() for old, new in zip(before, after) if old != new}
    return found


class Mutants(unittest.TestCase):
    def test_comparisons(self):
        self.assertEqual(lines_after("comparison"), {"if (a >= b && b != 7) {", "if (a < b && b == 7) {"})

    def test_boundaries(self):
        self.assertEqual(lines_after("boundary"), {"if (a <= b && b != 7) {", "if (a < b && b != 8) {", "return a + 2;"})

    def test_conditions(self):
        self.assertEqual(lines_after("negated condition"), {"if (!(a < b && b != 7)) {"})

    def test_logic(self):
        self.assertEqual(lines_after("swapped && and ||"), {"if (a < b || b != 7) {"})

    def test_statements(self):
        self.assertEqual(lines_after("deleted statement"), {";"})
        self.assertEqual(sum(m.kind == "deleted statement" for m in mutants.mutants_of("x.c", SOURCE)), 2)

    def test_returns(self):
        self.assertEqual(lines_after("returned constant"), {"return 0;"})

    def test_a_condition_keeps_its_literals(self):
        source = 'int f(const char *a)\n{\n    if (strcmp(a, "b") == 0)\n        g();\n    return 0;\n}\n'
        found = [mutants.apply(source, m) for m in mutants.mutants_of("x.c", source) if m.kind == "negated condition"]
        self.assertEqual(len(found), 1)
        self.assertIn('if (!(strcmp(a, "b") == 0))', found[0])

    def test_what_spans_lines_is_not_deleted_by_halves(self):
        source = "void f(void)\n{\n    g(a,\n      h(b));\n    for (i = 0;\n         i < 3;\n         i++)\n        g();\n}\n"
        found = [source[m.start:m.end] for m in mutants.mutants_of("x.c", source) if m.kind == "deleted statement"]
        self.assertEqual(found, ["g();"])

    def test_a_sample_is_the_same_for_a_seed_and_has_every_kind(self):
        every = mutants.mutants_of("x.c", SOURCE)
        one, same = (mutants.sample(every, 6, random.Random(3)) for _ in range(2))
        self.assertEqual(one, same)
        self.assertEqual(len({mutant.kind for mutant in one}), 6)
        self.assertEqual(len(mutants.sample(every, 1000, random.Random(3))), len(every))


unittest.main()
