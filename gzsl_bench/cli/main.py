"""The command ``gzsl-bench``: commands are imported when they are called, not before."""

from __future__ import annotations

import errno
import io
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType

import click

from gzsl_bench.cli.group import Group
from gzsl_bench.errors import GzslBenchError, shortage
from gzsl_bench.masking import masked
from gzsl_bench.records import strict
from gzsl_bench.terminal import streams
from gzsl_bench.version import __version__

#: command -> (module:attribute, help): listing commands must not import them.
_COMMANDS = {
    "run": ("run:run_command", "Run a suite; finished cells are left alone."),
    "tune": (
        "tune:tune_command",
        "Search hyper-parameters on validation folds, write a suite with the best.",
    ),
    "suites": ("suites:suites_group", "List, print and copy the suites that come with it."),
    "validate": ("validate:validate_command", "Check suite files, train nothing."),
    "results": ("results:results_command", "List what a results folder holds."),
    "table": ("table:table_command", "Print the table of a suite's results."),
    "report": (
        "report:report_command",
        "Write a page of tables and plots that needs nothing else.",
    ),
    "visualize": (
        "visualize:visualize_command",
        "Draw the latent spaces of a suite's methods (t-SNE).",
    ),
    "compare": ("compare:compare_command", "Test two methods of a suite against one another."),
    "rescore": ("rescore:rescore_command", "Compute metrics again from kept predictions."),
    "score": ("outside:score_command", "Record predictions that were made elsewhere."),
    "export-task": (
        "outside:export_task_command",
        "Write tasks as plain arrays, for code that is no plugin.",
    ),
    "predict": ("models:predict_command", "Score new rows with a model that was kept."),
    "records": ("records:records_group", "Check, tidy, export, merge and submit records."),
    "leaderboard": (
        "leaderboard:leaderboard_group",
        "Make a static site of tables from many results.",
    ),
    "published": ("published:published_group", "List and audit published numbers."),
    "cite": ("cite:cite_command", "Print what to cite for a suite, as BibTeX."),
    "new-plugin": ("new_plugin:new_plugin_command", "Write a package to begin a plugin with."),
    "plugins": ("plugins:plugins_command", "List what is installed."),
    "check-plugin": (
        "check_plugin:check_plugin_command",
        "Check what a plugin does on tiny tasks.",
    ),
    "extract": (
        "extract:extract_command",
        "Turn images or texts into features of a data set.",
    ),
    "data": ("data:data_group", "List, check, split and download data sets."),
    "sync": ("sync:sync_command", "Make MLflow equal to the records."),
    "ui": ("sync:ui_command", "Open MLflow on the results."),
    "schema": ("validate:schema_command", "Print the JSON schema of a suite."),
}


#: The machine's troubles, not the program's.
_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
    errno.ENAMETOOLONG, errno.EISDIR, errno.ENOTDIR, errno.ESTALE, errno.EMFILE, errno.ENFILE,
    errno.ENOENT, errno.EEXIST, errno.ELOOP, errno.EFBIG,
)  # fmt: skip


class _LazyGroup(Group):
    """Knows its commands by name; importing torch can wait."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        from gzsl_bench.executors.processes import one_thread

        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        # A training begins with a fork (executors/early.py), and numpy comes up here.
        with one_thread():
            command: click.Command = getattr(import_module(f"gzsl_bench.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


#: Below the commands of ``--help``: where to begin.
_START = """\b
Start here:
  gzsl-bench run quickstart      train a small suite
  gzsl-bench results             who leads, how surely
  gzsl-bench report quickstart   the same, with plots
"""


@click.group(
    cls=_LazyGroup, epilog=_START, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(__version__, prog_name="gzsl-bench")
def cli() -> None:
    """Benchmark generalized zero-shot learning methods on equal terms.

    Results live in a folder (--out, ./gzsl-results by default).  Tables and JSON go to standard
    output, everything else to standard error.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point: one sentence instead of a traceback, and the exit codes 0, 1, 2, 130."""
    given = sys.argv[1:] if arguments is None else arguments
    streams.steady(ours=bool(given) and not {"-h", "--help", "--version"} & set(given))
    sys.excepthook = _say_without_secrets
    sys.exit(run(arguments))


def _say_without_secrets(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A traceback, asked for with ``--debug``, may quote a URI with a password."""
    text = "".join(traceback.format_exception(kind, error, trace))
    streams.say(masked(text), nl=False)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    strict.forget()
    try:
        result = cli.main(args=arguments, prog_name="gzsl-bench", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        said = io.StringIO()
        error.show(file=said)
        streams.say(masked(said.getvalue()), nl=False)
        return 2
    except (KeyboardInterrupt, click.exceptions.Abort):
        streams.say("gzsl-bench: interrupted")
        return 130
    except BrokenPipeError:
        # `gzsl-bench table ... | head`: the reader has what it wants; keep Python's exit quiet.
        streams.give_up_output()
        return 0
    except GzslBenchError as error:
        if debug:
            raise
        streams.say(f"gzsl-bench: {masked(str(error))}")
        return error.exit_code
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in _DISK:
            if error.filename == streams.OUTPUT:
                streams.give_up_output()
            where, what = f"{error.filename}: " if error.filename else "", error.strerror
            if error.errno == errno.EEXIST:  # so says the making of a folder
                what = "a file where a folder is expected"
            text = masked(f"{where}{what}{shortage(error)}")
            streams.say(f"gzsl-bench: {text}; put it right and start again")
            return 2
        text = masked(" ".join(str(error).split()))
        streams.say(
            f"gzsl-bench: internal error: {type(error).__name__}: {text}"
            " (--debug shows where; please report it)"
        )
        return 70
