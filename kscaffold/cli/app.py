"""The command line: main() is the one error boundary; each command lives in the file of its room."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

from kscaffold import __version__, console, timeouts, timing
from kscaffold.cli.aliases import ALIASES
from kscaffold.cli.verbs import GROUPS
from kscaffold.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_NO_ANSWER,
    EXIT_USAGE,
    EXIT_YES,
    DeadlineError,
    KscaffoldError,
    ProgramStatus,
    UsageError,
    from_os_error,
)

_QUIET = frozenset({"-q", "--quiet"})
# Options of `exec` that take no value.
_FLAGS = frozenset(("--fresh", "--json", "--offline", "--verbose", "-v", *_QUIET))


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status (errors.py has the table). Never raises."""
    console.open_streams()
    status = _main(argv)
    why = console.close_streams()
    if why is None or isinstance(why, BrokenPipeError) or status != EXIT_YES:
        return status
    console.failure(from_os_error(why), "")
    console.close_streams()  # nor may stderr keep what it can't write: Python 3.13 exits with 120 then
    return EXIT_NO_ANSWER


def _before_program(words: list[str]) -> list[str]:
    """The words of `exec` that are its own: up to the first that is no option and no option's value."""
    own = words[: words.index("exec") + 1]
    for word in words[len(own) :]:
        if not word.startswith("-") and (not own[-1].startswith("-") or own[-1] in _FLAGS):
            break
        own.append(word)
    return own


def _main(argv: Sequence[str] | None) -> int:
    timing.begin()
    args = _as_typed(sys.argv[1:] if argv is None else argv)
    options = args[: args.index("--")] if "--" in args else args
    console.json_mode = "--json" in options
    console.json_lines = False
    console.verbose = bool({"-v", "--verbose"} & set(options))
    console.words = options
    if "exec" in options:  # what follows its program is the program's own
        console.words = _before_program(options)
        options = options[: options.index("exec")]
    console.quiet = bool(_QUIET & set(options))
    args = [*(a for a in options if a not in _QUIET), *args[len(options) :]]
    command = _named(args)
    try:
        if args in (["--version"], ["-V"]):  # before typer is imported: asked for by scripts, often
            print(f"kscaffold {__version__}")
            return EXIT_YES
        timeouts.check_environment()
        with _within_time():
            status = _dispatch(args, command)
        _tell_pace()
        return status
    except KscaffoldError as error:
        if error.code == "KS095" and console.can_ask() and not console.json_mode and _is_meant(error):
            return _main(argv)
        console.failure(error, command)
        return error.exit_code
    except KeyboardInterrupt:
        console.failure(KscaffoldError("KS003", "interrupted"), command)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`).
        return EXIT_YES
    except OSError as error:
        from kscaffold.files import paths  # start-up time: most commands end without one

        console.failure(paths.of_os_error(error), command)
        return EXIT_NO_ANSWER
    except Exception as error:
        # Path.resolve() has an error of its own for a link that leads to itself, until Python 3.13.
        if isinstance(error, RuntimeError) and isinstance(error.__context__, OSError):
            console.failure(from_os_error(error.__context__), command)
            return EXIT_NO_ANSWER
        _bug(error, command)
        return EXIT_BUG


def _as_typed(argv: Sequence[str]) -> list[str]:
    """The command line in our own words: `help VERB` asks for its --help, `insmod` is load."""
    args = list(argv)
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if args and args[0] in ALIASES:
        args[0] = ALIASES[args[0]]
    return _with_value(args)


def _with_value(args: list[str]) -> list[str]:
    """`--faults` may stand alone, which typer's options can't."""
    if "--faults" not in args:
        return args
    at = args.index("--faults")
    if "--" in args[:at]:
        return args
    has_value = args[at + 1 : at + 2] in (["init"], ["all"])
    value = args[at + 1] if has_value else "init"
    return [*args[:at], f"--faults={value}", *args[at + 1 + has_value :]]


@contextlib.contextmanager
def _within_time() -> Iterator[None]:
    """Where KSCAFFOLD_COMMAND_TIMEOUT is set, the whole command ends with KS008 after so many seconds."""
    if f"KSCAFFOLD_{timeouts.COMMAND}" not in os.environ:
        yield
        return
    limit = timeouts.seconds(timeouts.COMMAND)

    def late(*_: object) -> None:
        raise DeadlineError(
            "KS008",
            f"the command did not end within {limit:g} s",
            fix=f"KSCAFFOLD_{timeouts.COMMAND}=SECONDS gives it more",
        )

    before = signal.signal(signal.SIGALRM, late)
    # Again each second: the first one may fall where an error is expected and passed over.
    signal.setitimer(signal.ITIMER_REAL, limit, 1.0)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_meant(error: KscaffoldError) -> bool:
    """Ask whether make may read a project that somebody else may have written; the project is named then."""
    from kscaffold.project import trust  # start-up time: seldom asked

    if not isinstance(error, trust.UntrustedError):
        return False
    console.warn(console.printable(f"{error.what}; {error.cause}"))
    try:
        answer = console.ask("let make read it (yes, no)?", "no")
    except KeyboardInterrupt:
        return False
    if answer.lower() not in ("y", "yes"):
        return False
    trust.name(error.directory)
    return True


def _tell_pace() -> None:
    """With -v, print where the time went."""
    timing.reached("the rest")
    for line in timing.timeline() if console.verbose else ():
        console.detail(line)


def _named(args: list[str]) -> str:
    """The command that is asked for, with its sub-command: what JSON documents and fixes call it."""
    words = [a for a in args if not a.startswith("-")] or ["kscaffold"]
    return " ".join(words[:2]) if words[0] in GROUPS else words[0]


def _dispatch(args: list[str], command: str) -> int:
    from kscaffold.cli.remembered import remembered  # start-up time: after --version

    if (known := remembered(args)) is not None:
        timing.reached("the command line is known")
        status = known()
        return status if isinstance(status, int) else EXIT_YES
    from kscaffold.cli.registry import commands  # start-up time: typer takes 25 ms

    app = commands(args)
    timing.reached("the command line is known")

    try:
        status = app(args=args, prog_name="kscaffold", standalone_mode=False)
    except SystemExit:  # typer's own answer to EPIPE
        raise BrokenPipeError from None
    except Exception as error:
        # typer's own usage errors. Their class moved between typer's versions, their shape did not.
        message = getattr(error, "format_message", None)
        if message is None:
            if type(error).__name__ == "Abort":
                raise KeyboardInterrupt from None
            raise
        if type(error).__name__ == "NoArgsIsHelpError" and not console.json_mode:
            console.note(message())
            return EXIT_USAGE
        fix = f"kscaffold {_known(command, app)}--help"
        what = "no command is given" if type(error).__name__ == "NoArgsIsHelpError" else _as_phrase(message())
        _require_readable(what)
        fix = _near_directory(what) or _with_directory(what, fix)
        raise UsageError("KS004", what, fix=fix) from None
    if status == EXIT_INTERRUPTED and not isinstance(status, ProgramStatus):  # typer's own answer to Ctrl-C
        raise KeyboardInterrupt
    return status if isinstance(status, int) else EXIT_YES


def _require_readable(what: str) -> None:
    """Raise PermissionError where a path of the command line is locked, as a look into it would."""
    import errno  # start-up time: most command lines are right
    import os
    import re

    if found := re.fullmatch(r"invalid value for .*: [Pp]ath '(.*)' is not readable", what, re.DOTALL):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), found[1]) from None


def _near_directory(what: str) -> str | None:
    """The fix where the directory of -C is none; None where that is not what is wrong."""
    # start-up time: most command lines are right
    import re
    import shlex
    from pathlib import Path

    found = re.fullmatch(
        r"invalid value for '--directory' / '-C': [Dd]irectory '(.*)' (does not exist|is a file)", what
    )
    if found is None:
        return None
    if found[2] == "is a file":
        return f"-C {shlex.quote(str(Path(found[1]).parent))}"
    from kscaffold.files.near import missing_directory_fix  # start-up time: only after a typing error

    return missing_directory_fix(Path(found[1]), "-C")


def _with_directory(what: str, fix: str) -> str:
    """The fix where a directory was one word too many: the same command with -C."""
    # start-up time: most command lines are right
    import re
    import shlex
    from pathlib import Path

    from kscaffold.files.paths import is_directory

    found = re.fullmatch(r"got unexpected extra argument(?:\(s\))? \((.*)\)", what)
    if found is None or not is_directory(Path(found[1])):
        return fix
    return fix.replace("--help", f"-C {shlex.quote(found[1])}")


def _known(command: str, app: object) -> str:
    """The words of `command` that are commands, each with a space after it."""
    known = ""
    for word in command.split():
        groups = {g.name: g.typer_instance for g in getattr(app, "registered_groups", [])}
        there = {c.name or _name_of(c.callback) for c in getattr(app, "registered_commands", [])}
        if word not in groups and word not in there:
            break
        known += f"{word} "
        app = groups.get(word)
    return known


def _name_of(command: object) -> str:
    return getattr(command, "__name__", "").replace("_", "-")


def _as_phrase(text: str) -> str:
    text = " ".join(text.split()).rstrip(".")
    return text[:1].lower() + text[1:]


def _bug(error: Exception, command: str) -> None:
    import traceback  # start-up time

    console.failure(
        KscaffoldError(
            "KS009",
            f"a bug in kscaffold: {type(error).__name__}: {error}",
            fix="please report it with the output of this command under -v",
        ),
        command,
    )
    if console.verbose:
        console.note("".join(traceback.format_exception(error)))
