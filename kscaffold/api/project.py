"""A project: made, found, built."""

from pathlib import Path
from typing import TYPE_CHECKING

from kscaffold.api.kernel import kernel_of
from kscaffold.progress import SILENT, Progress

if TYPE_CHECKING:
    from kscaffold.kernel.kernel import Kernel
    from kscaffold.make.report import BuildReport
    from kscaffold.scaffold.create.new import Created


def new(
    name: str,
    directory: str | Path = ".",
    *,
    template: str | None = None,
    author: str | None = None,
    description: str | None = None,
    license: str = "GPL-2.0-only",
) -> "Created":
    """Make a new project `name` in a directory, from one of kscaffold's own templates.

    Raises UsageError for a name that the kernel or make can't take, and where it is there already.
    """
    from kscaffold.scaffold.create.new import ProjectRequest  # start-up time
    from kscaffold.scaffold.create.new import new as make

    return make(
        ProjectRequest(
            name,
            Path(directory),
            template=template,
            author=author,
            description=description,
            license=license,
        )
    )


class Project:
    """A directory with a Kbuild, or a Makefile that sets obj-m. What it builds is asked of make."""

    def __init__(self, directory: Path) -> None:
        """`directory`: the project's own, as `find` gives it."""
        self.directory = directory

    @classmethod
    def find(cls, directory: str | Path = ".") -> "Project":
        """The project that a directory lies in. Raises KscaffoldError KS101 where it lies in none, and KS102
        where make can't work at that path.
        """
        from kscaffold.project.find import find_project  # start-up time

        return cls(find_project(Path(directory)))

    def build(
        self,
        kernel: "str | Kernel | None" = None,
        *,
        jobs: int | None = None,
        progress: Progress = SILENT,
    ) -> "BuildReport":
        """As the function `build`, for this project."""
        return build(self.directory, kernel, jobs=jobs, progress=progress)

    def modules(self, kernel: "str | Kernel | None" = None) -> list[Path]:
        """The .ko files that it builds for a kernel, there or not yet."""
        from kscaffold.project.known import project_at  # start-up time

        return [target.ko for target in project_at(self.directory, kernel_of(kernel)).targets]

    def __repr__(self) -> str:
        return f"Project({str(self.directory)!r})"


def build(
    project: "str | Path | Project" = ".",
    kernel: "str | Kernel | None" = None,
    *,
    jobs: int | None = None,
    progress: Progress = SILENT,
) -> "BuildReport":
    """Build the modules of a project for a kernel with the kernel's own Makefile, where they are not up to
    date. A build that fails is a report that is not `ok`, with `explanation` and `complaints`.

    `jobs`: compilers at once, None for one a processor. `progress.note` gets the compiler's complaints.
    """
    from kscaffold.make.build_project import build_project  # start-up time

    where = project if isinstance(project, Project) else Project.find(project)
    return build_project(where.directory, kernel_of(kernel, progress), jobs=jobs, progress=progress)
