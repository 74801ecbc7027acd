"""The options of `kscaffold new` for templates of others; cli/external/ acts on them."""

from collections.abc import Mapping
from typing import Annotated

from kscaffold.cli import typer_later as typer
from kscaffold.errors import UsageError
from kscaffold.records import dataclass

Trust = Annotated[bool, typer.Option("--trust", help="Take a template of others without being asked.")]
Hooks = Annotated[bool, typer.Option("--hooks", help="Let such a template run its own code.")]
Answer = Annotated[
    list[str] | None,
    typer.Option("--answer", metavar="KEY=VALUE", help="What such a template asks for (repeatable)."),
]
Checkout = Annotated[
    str | None, typer.Option("--checkout", metavar="REF", help="Its branch, tag or commit, with git.")
]
TemplateDir = Annotated[
    str | None, typer.Option("--template-dir", metavar="DIR", help="Where in its source it is.")
]
Git = Annotated[bool, typer.Option("--git", help="Begin a git repository in the new directory.")]


@dataclass(frozen=True, slots=True)
class Given:
    """The options for templates of others, as they were given."""

    trust: bool
    hooks: bool
    answers: tuple[str, ...]
    checkout: str | None
    template_dir: str | None

    def refuse(self) -> None:
        """Raise UsageError where one of them was given: kscaffold's own templates take none."""
        for option, value in (
            ("hooks", self.hooks),
            ("answer", self.answers),
            ("checkout", self.checkout),
            ("template-dir", self.template_dir),
        ):
            if value:
                raise UsageError(
                    "KS078",
                    f"--{option} is for templates of others",
                    cause="kscaffold's own have options of their own",
                    fix=f"kscaffold new --help, or --template PATH with --{option}",
                )


def refuse(unused: Mapping[str, object]) -> None:
    """A template of others takes none of these options. Raises UsageError."""
    for option, value in unused.items():
        if value:
            raise UsageError(
                "KS022",
                f"a template of others can't use --{option}",
                cause="it has variables of its own",
                fix="--answer KEY=VALUE for each; without --trust the report lists them",
            )


def nested(shown: str) -> str:
    """The note to users where --git began no repository."""
    return f"{shown} is part of the git work tree around it; no repository of its own was begun"
