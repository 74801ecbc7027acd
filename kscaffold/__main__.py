"""Where the command begins, also as `python -m kscaffold`: Ctrl-C is heard from the first moment on."""

import sys

from kscaffold import termination


def main() -> int:
    """Run the command. A Ctrl-C while the rest is still imported ends it as any later one does; so does a
    SIGTERM, which is then what the process ends by.
    """
    try:
        termination.heed()
        if sys.argv[1:2] == ["__complete"]:  # a shell asks, while its user waits at the Tab key
            from kscaffold.cli.completion.candidates import complete

            return complete(sys.argv[2:])
        from kscaffold.cli.app import main as run  # takes most of the start-up time

        return run()
    except KeyboardInterrupt:
        sys.stderr.write("error[KS003]: interrupted\n")
        return 130
    finally:
        termination.end_as_told()


if __name__ == "__main__":
    raise SystemExit(main())
