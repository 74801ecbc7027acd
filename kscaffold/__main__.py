"""`python -m kscaffold`."""

from kscaffold.cli.app import main

if __name__ == "__main__":
    raise SystemExit(main())
