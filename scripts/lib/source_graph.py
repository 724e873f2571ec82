# SPDX-License-Identifier: MIT
"""What the C files of the project use of one another, read from their text: includes, and the functions and
objects that one defines and another names. Nothing is built. scripts/module_graph draws it,
scripts/check_includes checks it.

A unit is a .c file with the header of the same name, or a header alone. Three kinds of uses are told apart:

  include   a file includes a header of another unit
  call      a file names a function (or an object) that is not static and that another unit defines. It counts only
            where a declaration is in sight, in a header that the file includes: a variable of the same name is none.
  header    a header includes a header of another unit

A circle of files is a set of units that call one another around, or of headers that include one another around.
"""
import pathlib
import re
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PARTS = ("bus", "common", "gateway", "clients")

# The floors, lowest first. A file may use its own floor and those below it; of two folders that share a floor
# (an inner tuple) neither may use the other. A folder takes its subfolders along. Every floor of the bus stands on
# the public headers, every floor of the gateway and of the clients on the bus.
FLOORS = {
    "common": (("common",),),
    "bus": (
        ("bus/include",),
        ("bus/src/base",),
        ("bus/src/codec",),
        ("bus/src/transport",),
        # None of these uses another: what is above a transport does not know which one it is on.
        ("bus/src/zmq", "bus/src/broadcaster", "bus/src/subscriber"),
        ("bus/src/api",),
    ),
    "gateway": (
        ("gateway/base",),
        ("gateway/protocol",),
        ("gateway/transport",),
        ("gateway/session",),
        ("gateway/bridge/events",),
        ("gateway/bridge",),
        ("gateway/main",),
    ),
    "clients": (("clients/cli",),),
}
MOST_FILES = 15  # .c files of a folder; more are worth a look
BELOW = {"common": (), "bus": ("common",), "gateway": ("bus", "common"), "clients": ("bus", "common")}

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.M)
NOISE = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
OBJECT = re.compile(r"^(?!static\b|extern\b|typedef\b)[A-Za-z_][\w\s*]*\b(\w+)\s*(?:\[[^\]]*\])?\s*=[^=]")
WORD = re.compile(r"[A-Za-z_]\w*")


def part_of(path):
    return path.split("/", 1)[0]


def floor_of(path):
    """Gives (part, number, folder) of a path, or None where no floor is told."""
    for number, folders in enumerate(FLOORS.get(part_of(path), ())):
        for folder in folders:
            if path.startswith(folder + "/") or re.fullmatch(re.escape(folder) + r"\.[ch]", path):
                return part_of(path), number, folder
    return None


def is_upward(user, used):
    """Whether an arrow from one path to another runs up, or across to a folder of the same floor."""
    mine, theirs = floor_of(user), floor_of(used)
    if mine is None or theirs is None:
        return False
    if mine[0] != theirs[0]:
        return theirs[0] not in BELOW[mine[0]]
    return theirs[1] > mine[1] or (theirs[1] == mine[1] and theirs[2] != mine[2])


def unit_of(path):
    return path.rsplit(".", 1)[0]


def without_noise(text):
    """The text without comments and literals, with the lines where they were."""
    return NOISE.sub(lambda match: " " + "\n" * match[0].count("\n"), text)


def without_directives(text):
    return re.sub(r"^[ \t]*#(?:[^\n\\]|\\.|\\\n)*", "", text, flags=re.M)


def defined_names(text):
    """Names of the functions and of the shared objects that a text without noise defines: (name, is static). A
    function's body opens with `{` alone in the first column, as clang-format writes it."""
    head = []
    is_inside = False
    for line in without_directives(text).splitlines():
        if is_inside:
            is_inside = not line.startswith("}")
        elif line == "{":
            is_inside = True
            said = " ".join(head)
            match = re.search(r"(\w+)\s*\(", re.sub(r"__attribute__\s*\(\(.*?\)\)", "", said))
            if match:
                yield match[1], re.search(r"\bstatic\b", said) is not None
            head = []
        elif OBJECT.match(line):
            yield OBJECT.match(line)[1], False
            head = []
        elif not line.strip() or line.rstrip().endswith((";", "}")):
            head = []
        else:
            head.append(line)


class Source:
    """One C file: what it includes of the project, the words it uses, what it defines."""

    def __init__(self, name, text, files):
        self.name = name
        self.unit = unit_of(name)
        self.text = text
        self.includes = {}  # path in the tree: line
        for match in INCLUDE.finditer(text):
            path = resolve(match[1], name, files)
            if path:
                self.includes.setdefault(path, text.count("\n", 0, match.start()) + 1)
        code = without_noise(text)
        functions = list(defined_names(code))
        self.statics = {function for function, is_static in functions if is_static}
        self.functions = {function for function, is_static in functions if not is_static}
        self.words = set(WORD.findall(without_directives(code)))
        self.macro_words = set(WORD.findall(code)) - self.words  # what only macros name


def resolve(included, user, files):
    """Where in the tree an included header is, or None."""
    folder = str(pathlib.PurePosixPath(user).parent)
    for path in (included, f"bus/include/{included}", f"{folder}/{included}"):
        if path in files:
            return path
    return None


def tracked_files():
    """The C files of the tree as git knows them, and those that it does not yet know or ignore."""
    said = subprocess.check_output(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.c", "*.h", "*.def"], cwd=ROOT, text=True)
    return [name for name in dict.fromkeys(said.split()) if (ROOT / name).exists()]


class Graph:
    """The uses of all C files of the parts; uses[(unit, unit)] = {kind: {what}}."""

    def __init__(self, root=ROOT, names=None):
        names = [name for name in (tracked_files() if names is None else names) if part_of(name) in PARTS]
        files = set(names)
        self.sources = {name: Source(name, (root / name).read_text(), files) for name in names}
        self.units = {}
        for source in self.sources.values():
            self.units.setdefault(source.unit, []).append(source)
        self.uses = {}
        self.find_includes()
        self.find_calls()

    def add(self, user, used, kind, what):
        if user != used:
            self.uses.setdefault((user, used), {}).setdefault(kind, set()).add(what)

    def find_includes(self):
        for source in self.sources.values():
            for path in source.includes:
                self.add(source.unit, unit_of(path), "include", path)
                if source.name.endswith(".h"):
                    self.add(source.unit, unit_of(path), "header", path)

    def in_sight(self, name):
        """The headers that a file includes, with those that they include."""
        seen, todo = set(), [name]
        while todo:
            for path in self.sources[todo.pop()].includes:
                if path not in seen:
                    seen.add(path)
                    todo.append(path)
        return seen

    def find_calls(self):
        home = {}
        for source in self.sources.values():
            if source.name.endswith(".c"):
                for function in source.functions - {"main"}:
                    home.setdefault(function, []).append(source.unit)
        for source in self.sources.values():
            named = {word for word in source.words if word in home}
            named -= source.functions | source.statics
            if not named:
                continue
            if source.name.endswith(".h"):  # its inline functions; declarations are no uses
                named &= inline_words(source)
            sight = self.in_sight(source.name)
            for word in named:
                if any(word in self.sources[path].words or word in self.sources[path].macro_words for path in sight):
                    for unit in home[word]:
                        self.add(source.unit, unit, "call", word)

    def circles(self):
        """Sets of units that use one another around, the largest first."""
        found = set()
        for kind in ("call", "header"):
            arrows = {}
            for (user, used), kinds in self.uses.items():
                if kind in kinds:
                    arrows.setdefault(user, set()).add(used)
            found |= {circle for circle in components(arrows) if len(circle) > 1}
        return sorted(found, key=lambda circle: (-len(circle), sorted(circle)))

    def upward(self):
        """Arrows that run up, or across to another folder of the same floor: {(unit, unit): [what]}."""
        found = {}
        for source in self.sources.values():
            for path, line in source.includes.items():
                if is_upward(source.name, path):
                    found.setdefault((source.unit, unit_of(path)), []).append(
                        f"{source.name}:{line} includes {path}")
        for (user, used), kinds in self.uses.items():
            source, target = self.path_of(user), self.path_of(used)
            if "call" in kinds and is_upward(source, target):
                found.setdefault((user, used), []).append(f"{source} calls {', '.join(sorted(kinds['call']))}")
        return found

    def large_folders(self):
        """Folders with more than MOST_FILES .c files: {folder: count}."""
        count = {}
        for name in self.sources:
            if name.endswith(".c"):
                folder = str(pathlib.PurePosixPath(name).parent)
                count[folder] = count.get(folder, 0) + 1
        return {folder: number for folder, number in count.items() if number > MOST_FILES}

    def path_of(self, unit):
        return f"{unit}.c" if f"{unit}.c" in self.sources else self.units[unit][0].name


def inline_words(source):
    """The words of a header's inline functions and macros."""
    text = without_noise(source.text)
    words = set(source.macro_words)
    is_inside = False
    for line in text.splitlines():
        if line == "{":
            is_inside = True
        elif line.startswith("}"):
            is_inside = False
        elif is_inside:
            words.update(WORD.findall(line))
    return words


def components(arrows):
    """The strongly connected components of {node: nodes} (Tarjan's, without recursion)."""
    index, low, stack, on_stack, found = {}, {}, [], set(), []
    for start in sorted(arrows):
        if start in index:
            continue
        work = [(start, iter(sorted(arrows.get(start, ()))))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, rest = work[-1]
            for following in rest:
                if following not in index:
                    index[following] = low[following] = len(index)
                    stack.append(following)
                    on_stack.add(following)
                    work.append((following, iter(sorted(arrows.get(following, ())))))
                    break
                if following in on_stack:
                    low[node] = min(low[node], index[following])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = set()
                    while node not in component:
                        component.add(stack.pop())
                    on_stack -= component
                    found.append(frozenset(component))
    return found
