"""The topics that `explain` knows by name."""

from kscaffold.diagnosis import catalogue, stages
from kscaffold.diagnosis.course import COURSE
from kscaffold.explain import subjects
from kscaffold.records import dataclass


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and its title. `group`: topics, stages, steps (of the course) or codes."""

    group: str
    name: str
    title: str


def topics() -> tuple[Topic, ...]:
    """Every topic, in the order of a first reading: subjects, stages, the course's steps, codes."""
    codes = [e for first in "0123456789" for e in catalogue.entries(first).values()]
    return (
        Topic("topics", "load", "what happens when a module is loaded"),
        Topic("topics", "return", "what init returns"),
        Topic("topics", "commands", "the commands you know, and ours"),
        *(Topic("topics", s.words[0], s.title) for s in subjects.subjects()),
        *(Topic("stages", s.id, s.title) for s in stages.STAGES),
        *(Topic("steps", str(number), f"the course: {name}") for number, name in COURSE.items()),
        *(Topic("codes", e.code, e.title) for e in codes),
    )
