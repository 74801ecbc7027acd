"""The process a foreign template is rendered in, started by render.py; this is cookiecutter's second door.

Without --hooks none of the template's own code runs here: Jinja is sandboxed, only known extensions are
imported, and processor time, memory and the size of files have limits that can't be raised again. Every
name is checked before anything is made of it. cookiecutter does the rest, as for anybody else: the answers
go in where it would ask at a terminal, so they are never rendered.

It reads a request (JSON) from the file named on its command line, and prints an answer (JSON) on one line,
begun by the request's nonce, among what hooks print.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cookiecutter import generate, hooks, prompt
from cookiecutter.environment import ExtensionLoaderMixin, StrictEnvironment
from cookiecutter.exceptions import CookiecutterException, FailedHookException
from jinja2 import Environment, StrictUndefined, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import SandboxedEnvironment

MEMORY = 1 << 30  # bytes of address space
LARGEST_FILE = 64 << 20  # bytes
MOST_BYTES = 256 << 20  # of all files together
MOST_FILES = 50_000
LONGEST_ANSWER = 1 << 20  # characters
LONGEST_REASON = 600

# What names a project in the templates there are, where its directory's name is made of several.
# fmt: off
_NAMING = (
    "project_slug", "project_name", "module_name", "repo_name", "package_name", "app_name", "driver_name",
    "slug", "name",
)
# fmt: on


class NameRefusedError(Exception):
    """A rendered name leads out of the project, or can't be a file's."""


class AnswerError(Exception):
    """An answer that its variable can't take."""


class _Sandboxed(ExtensionLoaderMixin, SandboxedEnvironment):  # type: ignore[misc]
    """cookiecutter's environment, with a Jinja that reaches nothing of Python."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(undefined=StrictUndefined, **kwargs)


class _Name:
    """The template of a file's or directory's name. What is known of it already is not rendered again."""

    def __init__(self, known: str, template: Any, check: Callable[[str], None]) -> None:
        self.known, self.template, self.check = known, template, check

    def render(self, **context: Any) -> str:
        text: str = self.template.render(**context)
        self.check(text)
        return self.known + text


class Names:
    """Watches over the names that cookiecutter renders: each goes through from_string of its environment."""

    def __init__(self, output: str) -> None:
        self.output = output
        self.project: str | None = None
        self.seen: set[str] = set()
        self.size = 0
        self.last: str | None = None

    def watch(self, environment: Environment) -> None:
        """Put ourselves before an environment's from_string."""
        plain = environment.from_string

        def from_string(source: str) -> _Name:
            known = ""
            for place in (self.project, self.output):
                if place is not None and source.startswith(place + os.sep):
                    known, source = place + os.sep, source[len(place) + 1 :]
                    break
            return _Name(known, plain(source), self.check)

        environment.from_string = from_string  # type: ignore[method-assign, assignment]

    def check(self, name: str) -> None:
        """Refuse a name that could be outside of the project, be git's, or hide in a terminal."""
        self.weigh()
        parts = [part for part in name.split("/") if part not in ("", ".")]
        first = self.project is None
        if (
            name.startswith("/")
            or ".." in parts
            or not name.isprintable()
            or any(part.lower() == ".git" for part in parts)
            or (first and not parts)
        ):
            raise NameRefusedError(name)
        if first:
            self.project = str(Path(self.output, *parts))
            return
        if not parts or name.endswith("/"):
            return  # cookiecutter makes no file of it: that is how templates leave files out
        path = str(Path(self.project or "", *parts))
        if path in self.seen:
            raise NameRefusedError(f"{name}, which two files of the template have,")
        self.seen.add(path)
        self.last = path
        if len(self.seen) > MOST_FILES:
            raise MemoryError

    def weigh(self) -> None:
        """Add the file that was written last."""
        if self.last is not None and Path(self.last).is_file():
            self.size += Path(self.last).stat().st_size
            if self.size > MOST_BYTES:
                raise MemoryError
        self.last = None


class RenderAnswers:
    """Answers in the place of a user at cookiecutter's terminal, and notes what was asked."""

    def __init__(self, given: Mapping[str, str]) -> None:
        self.given = given
        self.asked: list[dict[str, Any]] = []

    def _ask(self, name: str, kind: str, default: Any, prompts: Any, choices: Any = ()) -> str | None:
        question = (prompts or {}).get(name)
        if isinstance(question, dict):
            question = question.get("__prompt__")
        answer = self.given.get(name)
        shown = default if answer is None else answer
        self.asked.append(
            {
                "name": name,
                "kind": kind,
                "default": shown,
                "choices": list(choices),
                "prompt": question or name,
            }
        )
        return answer

    def variable(self, name: str, default: Any, prompts: Any = None, prefix: str = "") -> Any:
        """cookiecutter.prompt.read_user_variable."""
        answer = self._ask(name, "text", default, prompts)
        return default if answer is None else answer

    def choice(self, name: str, options: list[Any], prompts: Any = None, prefix: str = "") -> Any:
        """cookiecutter.prompt.read_user_choice."""
        if not options:
            raise ValueError(f"{name} has nothing to choose from")
        answer = self._ask(name, "choice", options[0], prompts, options)
        if answer is None:
            return options[0]
        for option in options:
            if str(option) == answer:
                return option
        raise AnswerError(f"{name} is one of: " + ", ".join(map(str, options)))

    def yes_no(self, name: str, default: Any, prompts: Any = None, prefix: str = "") -> Any:
        """cookiecutter.prompt.read_user_yes_no."""
        answer = self._ask(name, "yes/no", default, prompts)
        if answer is None:
            return default
        word = answer.strip().lower()
        if word in prompt.YesNoPrompt.yes_choices + prompt.YesNoPrompt.no_choices:
            return word in prompt.YesNoPrompt.yes_choices
        raise AnswerError(f"{name} is yes or no")

    def dictionary(self, name: str, default: Any, prompts: Any = None, prefix: str = "") -> Any:
        """cookiecutter.prompt.read_user_dict."""
        answer = self._ask(name, "JSON", default, prompts)
        if answer is None:
            return default
        try:
            value = json.loads(answer)
        except (ValueError, RecursionError):
            value = None
        if not isinstance(value, dict):
            raise AnswerError(f"{name} is a JSON object")
        return value


def naming(environment: Environment, top: str, variables: Mapping[str, Any]) -> list[str]:
    """The variables that a project's name answers: the one its directory is named by, then the one that
    this one's default is made of, and so on. `top`: the directory's name in the template."""
    found: list[str] = []
    source = top
    while True:
        used = [v for v in _used(environment, source) if isinstance(variables.get(v), str) and v not in found]
        likely = used if len(used) == 1 else [n for n in _NAMING if n in used]
        if not likely:
            return [name for name in found if not name.startswith("_")]
        found.append(likely[0])
        source = variables[likely[0]]


def _used(environment: Environment, source: str) -> list[str]:
    """The variables that a template text mentions, in order."""
    used: list[str] = []
    try:
        tree = environment.parse(source)
    except TemplateError:
        return []  # rendering will say it, and where
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        assert isinstance(node, nodes.Getattr | nodes.Getitem)
        if isinstance(node.node, nodes.Name) and node.node.name == "cookiecutter":
            key = node.attr if isinstance(node, nodes.Getattr) else getattr(node.arg, "value", None)
            if isinstance(key, str) and key not in used:
                used.append(key)
    return used


def project_directories(environment: Environment, repo: str) -> list[str]:
    """The directories that a template would make projects of. cookiecutter takes whichever it sees first."""
    marks = ("cookiecutter", environment.variable_start_string, environment.variable_end_string)
    inside = [path for path in Path(repo).iterdir() if path.is_dir()]
    return sorted(path.name for path in inside if all(mark in path.name for mark in marks))


def work(request: Mapping[str, Any]) -> dict[str, Any]:
    """Ask, or ask and render. Keys of the request: render.py."""
    trusted = bool(request["hooks"])
    repo, output = str(request["repo"]), str(request["output"])
    make = StrictEnvironment if trusted else _Sandboxed

    def environment(context: dict[str, Any]) -> Environment:
        # cookiecutter.utils.create_env_with_context, with the class of our choice
        variables = context.get("cookiecutter", {}).get("_jinja2_env_vars", {})
        made: Environment = make(context=context, keep_trailing_newline=True, **variables)
        return made

    if trusted:
        repo = str(hooks.run_pre_prompt_hook(repo))
        sys.path.append(repo)  # where the template's own extensions are
    prompt.create_env_with_context = environment
    context = generate.generate_context(context_file=str(Path(repo, "cookiecutter.json")))
    options = context["cookiecutter"]
    context["_cookiecutter"] = {k: v for k, v in options.items() if not k.startswith("_")}
    plain = environment(context)
    tops = project_directories(plain, repo)
    if len(tops) != 1:
        return {"failed": "tops", "text": " ".join(tops)}
    named = naming(plain, tops[0], options)
    visible = [key for key in options if not key.startswith("_")]
    unknown = [key for key in request["answers"] if key not in visible]
    if unknown and not request["older"]:
        return {"failed": "unknown", "text": unknown[0], "known": visible}
    answers = RenderAnswers({**dict.fromkeys(named, request["name"]), **request["answers"]})
    prompt.read_user_variable, prompt.read_user_choice = answers.variable, answers.choice
    prompt.read_user_yes_no, prompt.read_user_dict = answers.yes_no, answers.dictionary
    if options:
        options.update(prompt.prompt_for_config(context, no_input=False))
    if request["only_ask"]:
        return {"asked": answers.asked}
    chosen = {key: options[key] for key in visible if key in options}
    options.update(request["facts"])
    names = Names(output)

    def watched(context: dict[str, Any]) -> Environment:
        made = environment(context)
        names.watch(made)
        return made

    generate.create_env_with_context = watched
    made = generate.generate_files(repo_dir=repo, context=context, output_dir=output, accept_hooks=trusted)
    names.weigh()
    return {"project": made, "answers": chosen, "dropped": unknown}


def explain(error: BaseException, repo: str) -> dict[str, Any]:
    """What stopped the work, for render.py to say: `failed` is a kind, `text` the reason in words."""
    line = getattr(error, "lineno", None)
    file = getattr(error, "filename", None) or getattr(error, "name", None)
    where = f"{file}:{line}" if line and isinstance(file, str) else ""
    text = " ".join(str(error).split())
    if isinstance(error, NameRefusedError):
        return {"failed": "name", "text": str(error)}
    if isinstance(error, AnswerError):
        return {"failed": "answer", "text": text}
    if isinstance(error, MemoryError):
        return {"failed": "limit", "text": "it needs more memory or makes more than is granted"}
    if isinstance(error, SecurityError):
        return {"failed": "sandbox", "text": text}
    if isinstance(error, FailedHookException):
        return {"failed": "hook", "text": text}
    if isinstance(error, OSError) and error.errno:
        return {"failed": "os", "errno": error.errno, "text": text}
    if isinstance(error, CookiecutterException):
        inner = getattr(error, "error", None)
        message = getattr(error, "message", None) or text or type(error).__name__
        text = " ".join(str(part) for part in (message, getattr(inner, "message", None)) if part)
    return {
        "failed": "template",
        "text": text or type(error).__name__,
        "where": where.replace(f"{repo}/", ""),
    }


def _limit(trusted: bool, processor: int, parent: int) -> None:
    """End with the command that started us; and, where the code is not trusted, within limits."""

    def end(*_: object) -> None:
        os.killpg(0, signal.SIGKILL)  # hooks are in our group

    # A child of ours would live on after a SIGKILL of us, so trusted code gets a signal that can be caught.
    signal.signal(signal.SIGTERM, end if trusted else signal.SIG_DFL)
    ctypes.CDLL(None).prctl(1, signal.SIGTERM if trusted else signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if not trusted:
        resource.setrlimit(resource.RLIMIT_CPU, (processor, processor))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def main() -> None:
    """Answer one request."""
    request = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    _limit(request["hooks"], request["processor"], request["parent"])
    answer_to = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = work(request)
    except BaseException as error:
        answer = explain(error, str(request["repo"]))
        if len(answer["text"]) > LONGEST_REASON:
            answer["text"] = answer["text"][:LONGEST_REASON] + "…"
    said = json.dumps(answer, default=str)
    if len(said) > LONGEST_ANSWER:
        said = json.dumps({"failed": "limit", "text": "its variables are too long"})
    with os.fdopen(answer_to, "w") as out:
        # A hook may have left a line without its end.
        out.write(f"\n{request['nonce']} {said}\n")
    if request["hooks"]:
        os.killpg(0, signal.SIGKILL)  # and whatever a hook left running


if __name__ == "__main__":
    main()
