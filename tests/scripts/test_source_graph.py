#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Tests of scripts/lib/source_graph.py over small trees that are written for each of them."""
import pathlib
import sys
import tempfile
import unittest

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent.parent / "scripts/lib"))
import source_graph  # noqa: E402


def graph_of(files):
    """The graph of {path: text}."""
    with tempfile.TemporaryDirectory(prefix="talus-graph-") as folder:
        root = pathlib.Path(folder)
        for name, text in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text)
        return source_graph.Graph(root, list(files))


def module(folder, name, uses=(), body=""):
    """A .c file with its header, which defines NAME_do() and calls the functions of others."""
    includes = "".join(f'#include "{path}.h"\n' for path in uses)
    calls = "".join(f"    {path.rsplit('/', 1)[1]}_do();\n" for path in uses)
    return {f"{folder}/{name}.h": f"void {name}_do(void);\n",
            f"{folder}/{name}.c": f"{includes}\nvoid {name}_do(void)\n{{\n{calls}{body}}}\n"}


class SourceGraph(unittest.TestCase):
    def test_a_call_is_a_use(self):
        graph = graph_of({**module("bus/src/base", "low"), **module("bus/src/codec", "high", ["bus/src/base/low"])})
        self.assertEqual(graph.uses[("bus/src/codec/high", "bus/src/base/low")]["call"], {"low_do"})
        self.assertEqual((graph.circles(), graph.upward()), ([], {}))

    def test_a_name_is_no_use_without_a_declaration_in_sight(self):
        graph = graph_of({**module("bus/src/base", "low"), **module("bus/src/base", "other", body="    int low_do;\n")})
        self.assertEqual(graph.uses, {})

    def test_comments_and_strings_are_no_uses(self):
        files = {**module("bus/src/base", "low"), **module("bus/src/codec", "high")}
        files["bus/src/codec/high.c"] = ('#include "bus/src/base/low.h"\n// low_do();\n/* low_do(); */\n'
                                         'const char *high_text = "low_do()";\n')
        uses = graph_of(files).uses[("bus/src/codec/high", "bus/src/base/low")]
        self.assertNotIn("call", uses)

    def test_a_static_function_of_the_same_name_is_ones_own(self):
        files = {**module("bus/src/base", "low"), "bus/src/base/own.c":
                 '#include "bus/src/base/low.h"\nstatic void low_do(void)\n{\n}\n\nvoid own_do(void)\n{\n    low_do();\n}\n'}
        self.assertNotIn("call", graph_of(files).uses[("bus/src/base/own", "bus/src/base/low")])

    def test_inline_functions_and_objects_are_uses(self):
        files = {**module("bus/src/base", "low"),
                 "bus/src/base/table.h": "extern const int table_of_all[2];\n",
                 "bus/src/base/table.c": "const int table_of_all[2] = {1, 2};\n",
                 "bus/src/codec/inline.h": '#include "bus/src/base/low.h"\n#include "bus/src/base/table.h"\n'
                                           "static inline int twice(void)\n{\n    low_do();\n"
                                           "    return table_of_all[0];\n}\n"}
        uses = graph_of(files).uses
        self.assertEqual(uses[("bus/src/codec/inline", "bus/src/base/low")]["call"], {"low_do"})
        self.assertEqual(uses[("bus/src/codec/inline", "bus/src/base/table")]["call"], {"table_of_all"})

    def test_files_that_call_one_another_around_are_a_circle(self):
        names = ["bus/src/base/a", "bus/src/base/b", "bus/src/base/c", "bus/src/base/d"]
        graph = graph_of({**module("bus/src/base", "a", names[1:2]), **module("bus/src/base", "b", names[2:4]),
                          **module("bus/src/base", "c", names[:1]), **module("bus/src/base", "d")})
        self.assertEqual(graph.circles(), [frozenset(names[:3])])

    def test_headers_that_include_one_another_are_a_circle(self):
        graph = graph_of({"gateway/base/a.h": '#include "gateway/base/b.h"\n',
                          "gateway/base/b.h": '#include "gateway/base/a.h"\n'})
        self.assertEqual(graph.circles(), [frozenset(["gateway/base/a", "gateway/base/b"])])

    def test_a_header_of_a_user_makes_no_circle(self):
        """A struct that holds another by value, whose functions are given the outer one."""
        graph = graph_of({"gateway/base/outer.h": '#include "gateway/base/part.h"\n', "gateway/base/part.h": "",
                          "gateway/base/part.c": '#include "gateway/base/outer.h"\n'})
        self.assertEqual(graph.circles(), [])

    def test_arrows_up_across_and_between_parts(self):
        cases = [("bus/src/base", "bus/src/codec", True), ("bus/src/codec", "bus/src/base", False),
                 ("bus/src/subscriber", "bus/src/broadcaster", True), ("bus/src/zmq/pub", "bus/src/zmq", False),
                 ("bus/src/zmq", "bus/src/zmq/sub", False), ("bus/src/zmq/pub", "bus/src/subscriber", True),
                 ("common", "bus/src/base", True), ("gateway/base", "common", False),
                 ("gateway/main", "clients/cli", True), ("gateway/bridge", "bus/include/talus", False),
                 ("gateway/bridge/events", "gateway/bridge", True), ("gateway/bridge", "gateway/bridge/events", False),
                 ("bus/src/api", "gateway/base", True), ("gateway/session", "gateway/main", True)]
        for user, used, is_upward in cases:
            graph = graph_of({**module(used, "used"), **module(user, "user", [f"{used}/used"])})
            self.assertEqual(list(graph.upward()) == [(f"{user}/user", f"{used}/used")], is_upward, (user, used))

    def test_a_call_through_a_lower_header_can_run_up(self):
        """A function that is declared below the file that defines it."""
        graph = graph_of({"bus/include/talus/low.h": "void high_do(void);\n",
                          "bus/src/base/low.c": "#include <talus/low.h>\n\nvoid low_do(void)\n{\n    high_do();\n}\n",
                          "bus/src/api/high.c": "void high_do(void)\n{\n}\n"})
        self.assertEqual(list(graph.upward()), [("bus/src/base/low", "bus/src/api/high")])

    def test_every_file_of_the_tree_has_a_floor(self):
        graph = source_graph.Graph()
        self.assertGreater(len(graph.units), 100)
        self.assertEqual([name for name in graph.sources if source_graph.floor_of(name) is None], [])


unittest.main()
