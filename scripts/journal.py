"""Look into a teacher's journal, settle its account, move or mend it.

    journal.py list JOURNAL                     spend, open charges, failures by kind
    journal.py settle JOURNAL DOLLARS [ID ...]  enter what the bill says of open charges (each)
    journal.py again JOURNAL [KIND ...]         have failures (of these kinds) asked again
    journal.py export JOURNAL FILE              records and charges as JSON lines
    journal.py import JOURNAL FILE              take such lines over
    journal.py salvage JOURNAL --output NEW     a new journal of what is whole in a damaged one

An open charge is one whose request never came to an end: its job was killed, its connection broke,
or a gateway failed. It counts at its worst case until it is settled.
"""

import argparse
import collections
from datetime import UTC, datetime
from pathlib import Path

from jz3 import io, program
from jz3.distillation import journal_files
from jz3.distillation.journal import NANO, TeacherJournal


def opened(options: argparse.Namespace, make: bool = False) -> TeacherJournal:
    """The journal. Raises UserError where there is none (unless `make`)."""
    path: Path = options.journal
    if not make and not path.exists():
        raise io.UserError(f"{path}: no such journal.")
    return TeacherJournal(path)


def list_(options: argparse.Namespace) -> None:
    """Spend, open charges, failures."""
    with opened(options) as journal:
        spent, open_ = (value / NANO for value in journal.totals())
        ends: collections.Counter[str] = collections.Counter()
        costs: collections.Counter[str] = collections.Counter()
        for _, record in journal.records():
            end = record["failure"] or {"length": "cut off"}.get(
                record["finish_reason"], "answered"
            )
            ends[end] += 1
            costs[end] += record["nano_dollars"]
        print(f"spent or reserved  ${spent:.6f}")
        print(f"  of it open       ${open_:.6f}")
        for end, count in sorted(ends.items(), key=lambda item: (item[0] != "answered", item[0])):
            print(f"{end:17}  {count:,} (${costs[end] / NANO:.6f})")
        charges = journal.charges()
        for charge in charges:
            made = datetime.fromtimestamp(charge["made"], UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            state = "under way" if journal.under_way(charge) else "open"
            print(
                f"charge {charge['id']}: {state}, ${charge['nano_dollars'] / NANO:.6f} at most,"
                f" {made}, request {charge['key'][:12]}"
            )
        if any(not journal.under_way(charge) for charge in charges):
            print(
                f"settle them all: python scripts/journal.py settle {options.journal} DOLLARS_EACH"
            )


def settle(options: argparse.Namespace) -> None:
    """Enter what the bill says."""
    amount = round(options.dollars * NANO)
    if not 0 <= options.dollars < 1e9:
        raise io.UserError(f"{options.dollars}: not a number of dollars from 0 on.")
    with opened(options) as journal, journal.transaction():
        open_ = {row["id"]: row for row in journal.charges() if not journal.under_way(row)}
        for charge in options.id or open_:
            if charge not in open_:
                raise io.UserError(f"charge {charge}: none that is open; `list` shows those.")
            journal.settle(charge, amount)
        print(f"{len(options.id or open_)} charges settled at ${options.dollars:.6f} each")


def again(options: argparse.Namespace) -> None:
    """Have failures asked again."""
    with opened(options) as journal:
        print(f"{journal.forget(options.kind)} failures are asked again by the next run")


def export(options: argparse.Namespace) -> None:
    """Write JSON lines."""
    with opened(options) as journal, io.atomic(options.file) as temporary:
        records, charges = journal_files.export(journal, temporary)
    print(f"{records} records and {charges} charges in {options.file}")


def import_(options: argparse.Namespace) -> None:
    """Take JSON lines over."""
    if not options.file.exists():
        raise io.UserError(f"{options.file}: no such file.")
    with opened(options, make=True) as journal:
        records, charges = journal_files.bring_in(journal, options.file)
    print(f"{records} new records and {charges} new charges from {options.file}")


def salvage(options: argparse.Namespace) -> None:
    """Mend a damaged journal into a new one."""
    records, charges = journal_files.salvage(options.journal, options.output)
    print(
        f"{records} records and {charges} charges were whole and are in {options.output}; look at"
        " them (list), then move it to the place of the damaged one, without its -wal and -shm."
    )


def parser() -> argparse.ArgumentParser:
    """The command line."""
    arguments = program.parser(__doc__)
    commands = arguments.add_subparsers(required=True, metavar="COMMAND")
    for name, function in (
        ("list", list_), ("settle", settle), ("again", again), ("export", export),
        ("import", import_), ("salvage", salvage),
    ):  # fmt: skip
        command = commands.add_parser(name, help=function.__doc__)
        command.set_defaults(function=function)
        command.add_argument("journal", type=Path, metavar="JOURNAL")
        if name == "settle":
            command.add_argument("dollars", type=float, metavar="DOLLARS")
            command.add_argument("id", type=int, nargs="*", metavar="ID")
        elif name == "again":
            command.add_argument("kind", nargs="*", metavar="KIND")
        elif name in ("export", "import"):
            command.add_argument("file", type=Path, metavar="FILE")
        elif name == "salvage":
            command.add_argument("--output", type=Path, required=True, metavar="NEW")
    return arguments


def main(options: argparse.Namespace) -> None:
    """Do what the command says."""
    options.function(options)


if __name__ == "__main__":
    program.run(main, parser())
