#!/usr/bin/env python3
"""Writes the man pages of a tidemark binary: tidemark.1, and one page for each subcommand.

The command tree comes from the binary itself (`--experimental-dump-help` of swift-argument-parser), so that a page says
what `--help` says. Only exit codes, environment and files are written here.

    packaging/man-pages.py .build/release/tidemark .build/man
"""

import argparse
import datetime
import json
import os
import pathlib
import re
import subprocess
import textwrap

EXIT_CODES = [
    ("0", "Done."),
    ("1", "Failed."),
    ("64", "The command line is wrong."),
    ("65", "The input is not in a format that can be read, or more messages were bad than max_dead_letters allows."),
    ("66", "An input does not exist."),
    ("69", "The database cannot be reached."),
    ("78", "The configuration, the database's version or a right in it does not fit."),
    ("130, 143", "Ended by SIGINT or SIGTERM."),
]

ENVIRONMENT = [
    (
        "DATABASE_URL",
        "The database, as a PostgreSQL URI or as keywords. `--database` comes first, then this variable, then the "
        "configuration file.",
    ),
    (
        "PGHOST, PGPORT, PGUSER, PGPASSFILE, PGSSLMODE, …",
        "The variables of libpq, for what the connection string leaves out.",
    ),
    (
        "any other",
        "`${NAME}` and `${NAME:-default}` in values of the configuration file are replaced by the variable.",
    ),
]

FILES = [
    ("tidemark.yaml", "The configuration file, in the current folder unless `--config` names another."),
    ("/etc/tidemark/tidemark.yaml", "The configuration file that the systemd unit names."),
    ("/etc/tidemark/environment", "Variables of the systemd unit, such as DATABASE_URL."),
]


def escape(text):
    """Text as roff. All characters that roff or a terminal's fonts would change are written as escapes."""
    special = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "`": "\\(ga", "^": "\\(ha", "~": "\\(ti", '"': "\\(dq"}
    escaped = "".join(special.get(c, c if " " <= c <= "~" else f"\\[u{ord(c):04X}]") for c in text)
    return re.sub(r"^\.", r"\\&.", escaped)


def prose(text):
    """A line of prose: what stands in backticks is bold."""
    parts = re.split(r"`([^`]+)`", text)
    return wrapped("".join(bold(p) if i % 2 else escape(p) for i, p in enumerate(parts))) or "\\&"


def wrapped(text):
    """Lines of up to 80 bytes of source. One that begins with a dot would be a request."""
    lines = textwrap.wrap(text, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(re.sub(r"^\.", r"\\&.", line) for line in lines)


def bold(text):
    return f"\\fB{escape(text)}\\fR"


def italic(text):
    return f"\\fI{escape(text)}\\fR"


def heading(macro, text):
    return f'.{macro} "{escape(text)}"'


def items(pairs):
    lines = []
    for term, description in pairs:
        lines += [".TP", bold(term), prose(description)]
    return lines


def discussion(text):
    """Paragraphs are filled; indented lines and their line breaks stay."""
    lines = []
    block, is_example = [], False

    def flush():
        if not block:
            return
        if is_example:
            indent = min(len(line) - len(line.lstrip()) for line in block if line.strip())
            lines.extend([".PP", ".RS 2", ".nf"])
            lines.extend(escape(line[indent:]) or "\\&" for line in block)
            lines.extend([".fi", ".RE"])
        else:
            lines.append(".PP")
            lines.append(prose(" ".join(line.strip() for line in block)))
        block.clear()

    for line in text.split("\n"):
        if not line.strip():
            flush()
            continue
        if line.startswith("  ") != is_example:
            flush()
            is_example = line.startswith("  ")
        block.append(line)
    flush()
    return lines


def shown_arguments(command):
    return [a for a in command.get("arguments", []) if a.get("shouldDisplay", True)]


def joined_inversions(options):
    """The dump has --deliver and --no-deliver as two flags in a row; --help shows them as one option."""
    joined = []
    for option in options:
        previous = joined[-1] if joined else None
        if previous and previous["kind"] == option["kind"] == "flag":
            if option_names(option) == ["--no-" + option_names(previous)[-1].removeprefix("--")]:
                joined[-1] = previous | {"names": previous["names"] + option["names"]}
                continue
        joined.append(option)
    return joined


def option_names(argument):
    spelled = []
    for name in argument["names"]:
        spelled.append(("--" if name["kind"] == "long" else "-") + name["name"])
    return sorted(spelled, key=lambda name: name.startswith("--"))


def value_name(argument):
    return argument.get("valueName") or "value"


def description(argument):
    text = argument.get("abstract", "")
    if "defaultValue" in argument:
        text += f" (default: {argument['defaultValue']})"
    if "allValues" in argument:
        text += f" (values: {', '.join(argument['allValues'])})"
    return prose(text)


def synopsis(path, command):
    parts = [bold(" ".join(path))]
    if children(command):
        return [parts[0] + " " + italic("subcommand")]
    options = [a for a in shown_arguments(command) if a["kind"] != "positional"]
    for option in options:
        if option["kind"] == "option" and not option["isOptional"]:
            parts.append(f"{bold(option_names(option)[-1])} {italic(value_name(option))}")
    parts.append("[" + italic("options") + "]")
    for argument in shown_arguments(command):
        if argument["kind"] == "positional":
            name = italic(value_name(argument)) + (" ..." if argument["isRepeating"] else "")
            parts.append(f"[{name}]" if argument["isOptional"] else name)
    return [" ".join(parts)]


def arguments(command, macro):
    lines = []
    positional = [a for a in shown_arguments(command) if a["kind"] == "positional"]
    options = [a for a in shown_arguments(command) if a["kind"] != "positional"]
    if positional:
        lines.append(heading(*macro("Arguments")))
        for argument in positional:
            lines += [".TP", italic(value_name(argument)), description(argument)]
    if options:
        lines.append(heading(*macro("Options")))
        for option in joined_inversions(options):
            term = ", ".join(bold(name) for name in option_names(option))
            if option["kind"] == "option":
                term += " " + italic(value_name(option))
            lines += [".TP", term, description(option)]
    return lines


def children(command):
    shown = [c for c in command.get("subcommands") or [] if c.get("shouldDisplay", True)]
    return [c for c in shown if c["commandName"] != "help"]


def uses_database(command):
    options = [a for a in command.get("arguments", []) if a["kind"] == "option"]
    return any("--database" in option_names(a) for a in options) or any(map(uses_database, children(command)))


def mentioned(command, names):
    """The subcommands that the texts of a command name: `tidemark status`, tidemark retry, …"""
    texts = [command.get("abstract", ""), command.get("discussion", "")]
    texts += [a.get("abstract", "") for a in shown_arguments(command)]
    texts += [name for c in children(command) for name in mentioned(c, names)]
    found = re.findall(r"tidemark[ -]([a-z]+)", " ".join(texts))
    return [f"tidemark-{name}" for name in names if name in found]


def page(path, command, names, version, date):
    is_root = len(path) == 1
    title = "-".join(path)
    abstract = command.get("abstract", "")
    lines = [
        '.\\" Written by packaging/man-pages.py.',
        f'.TH "{escape(title.upper())}" 1 "{date}" "tidemark {escape(version)}" "Tidemark"',
        # No hyphenation and a ragged right margin: commands and names stay whole.
        ".nh",
        ".ad l",
        heading("SH", "NAME"),
        wrapped(f"{escape(title)} \\- {escape(abstract.rstrip('.'))}"),
        heading("SH", "SYNOPSIS"),
    ]
    if is_root:
        lines += [f"{bold('tidemark')} {italic('subcommand')} [{italic('options')}] [{italic('arguments')}]"]
    else:
        lines += synopsis(path, command)
    lines.append(heading("SH", "DESCRIPTION"))
    lines += discussion(command.get("discussion") or abstract)[1:]

    nested = children(command)
    if nested:
        lines.append(heading("SH", "COMMANDS"))
        for child in nested:
            term = bold(f"tidemark-{child['commandName']}") + "(1)" if is_root else bold(child["commandName"])
            lines += [".TP", term, prose(child.get("abstract", ""))]
    lines += arguments(command, lambda name: ("SH", name.upper()))
    if nested and not is_root:
        for child in nested:
            child_path = path + [child["commandName"]]
            lines.append(heading("SH", " ".join(child_path[1:]).upper()))
            lines += synopsis(child_path, child)
            lines += [".PP", prose(child.get("abstract", ""))]
            if child.get("discussion"):
                lines += discussion(child["discussion"])
            lines += arguments(child, lambda name: ("SS", name))

    lines += [heading("SH", "EXIT STATUS"), *items(EXIT_CODES)]
    if is_root or uses_database(command):
        lines += [heading("SH", "ENVIRONMENT"), *items(ENVIRONMENT)]
        lines += [heading("SH", "FILES"), *items(FILES)]
    others = [f"tidemark-{name}" for name in names] if is_root else ["tidemark", *mentioned(command, names)]
    see = [name for name in dict.fromkeys(others) if name != title]
    lines.append(heading("SH", "SEE ALSO"))
    lines.append(",\n".join(f"{bold(name)}(1)" for name in [*see, "psql"]))
    return "\n".join(lines) + "\n"


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def main():
    parser = argparse.ArgumentParser(description="Write the man pages of a tidemark binary.")
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    given = parser.parse_args()
    binary = str(given.binary.absolute())
    root = json.loads(output_of(binary, "--experimental-dump-help"))["command"]
    version = output_of(binary, "--version").strip()
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.datetime.now(datetime.timezone.utc)
    date = (datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc) if epoch else now).date().isoformat()

    given.folder.mkdir(parents=True, exist_ok=True)
    commands = children(root)
    names = [command["commandName"] for command in commands]
    pages = [(["tidemark"], root)] + [(["tidemark", c["commandName"]], c) for c in commands]
    for path, command in pages:
        text = page(path, command, names, version, date)
        (given.folder / ("-".join(path) + ".1")).write_text(text, encoding="ascii")
    print(f"{len(pages)} man pages in {given.folder}")


if __name__ == "__main__":
    main()
