#!/usr/bin/env python3
"""Checks that Core and the store know no files: no type, function, property or column of theirs is named by "file",
"line" or "path", as words of a camel-case or snake-case name. What a stream is, only its source knows.

Exit 1 with one line for each name that does not hold.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["Sources/TidemarkCore", "Sources/TidemarkStore"]
WORDS = {"file", "files", "line", "lines", "path", "paths"}
# "Fast path" is a term of its own; `lineBytes` counts a cache line; a path through a graph of states is one.
ALLOWED = re.compile(r"(?i)fastpath|^usesQuickPath$|^longestPaths$|^lineBytes$")
# Views keep the columns that earlier versions had.
VIEWS = {"tidemark.checkpoints"}

DECLARATION = re.compile(
    r"\b(?:func|var|let|struct|class|enum|protocol|actor|case|typealias)\s+`?([A-Za-z_]\w*)"
)
PARAMETER = re.compile(r"[(,]\s*(?:_\s+|[a-z]\w*\s+)?([a-z]\w*):\s*(?:inout |borrowing |consuming )?[\[A-Z(]")


def words(name):
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)}


def swift_names(text):
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("//"):
            continue
        for name in DECLARATION.findall(line) + PARAMETER.findall(line):
            yield number, name


def sql_names(text):
    """Columns of tables, by the dump that the tests compare the schema with."""
    for table, body in re.findall(r"CREATE TABLE (\S+) \((.*?)\n\);", text, re.S):
        for column in re.findall(r'^\s+"?(\w+)"?\s', body, re.M):
            yield table, column
    for view, body in re.findall(r"CREATE VIEW (\S+) AS(.*?);", text, re.S):
        if view in VIEWS or not view.startswith("tidemark"):
            continue
        for column in re.findall(r'\bAS "?(\w+)"?,?$', body, re.M):
            yield view, column


def main():
    problems = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.swift")):
            for number, name in swift_names(path.read_text(encoding="utf-8")):
                if words(name) & WORDS and not ALLOWED.search(name):
                    problems.append(f"{path.relative_to(ROOT)}:{number}: {name}")
    for relation, column in sql_names((ROOT / "schema/expected.sql").read_text(encoding="utf-8")):
        if set(column.split("_")) & WORDS:
            problems.append(f"schema/expected.sql: {relation}.{column}")
    for problem in problems:
        print(problem)
    if problems:
        print(f"{len(problems)} names of files, lines or paths in Core and the store: name the stream, the message, the offset")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
