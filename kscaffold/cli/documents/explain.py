"""JSON of `explain` and `explain load`."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from kscaffold.cli.documents.check import function
from kscaffold.cli.documents.load import load

if TYPE_CHECKING:
    from kscaffold.diagnosis.stages import Stage
    from kscaffold.explain.explain import Explanation
    from kscaffold.explain.log import MatchedEntry
    from kscaffold.explain.stage_facts import StageFacts
    from kscaffold.explain.stages.anatomy import Anatomy
    from kscaffold.explain.stages.fact import Fact
    from kscaffold.explain.topics import Topic
    from kscaffold.explain.walkthrough import LoadWalkthrough

Document = dict[str, Any]


def explain(answer: "Explanation") -> Document:
    """`explain`."""
    return {
        "topic": answer.topic,
        "kind": answer.kind,
        "title": answer.title,
        "text": answer.text,
        "steps": [
            {
                "stage": s.id,
                "title": s.title,
                "course": _course(s),
                "functions": list(s.functions),
                "what": s.what,
                "course_differs": s.course_differs or None,
                "elsewhere": s.elsewhere or None,
            }
            for s in answer.steps
        ],
        "returns": [
            {"value": r.value, "meaning": r.meaning, "insmod": r.insmod, "lsmod": r.lsmod, "log": r.log}
            for r in answer.returns
        ],
        "commands": [{"plain": c.plain, "wrapped": c.wrapped, "does": c.does} for c in answer.commands],
        "entries": [_entry(t) for t in answer.entries],
        "folded": [_entry(t) for t in answer.folded],
    }


def _course(stage: "Stage") -> list[Document]:
    from kscaffold.diagnosis.course import COURSE  # start-up time

    return [{"step": n, "name": COURSE[n]} for n in stage.course]


def _entry(matched: "MatchedEntry") -> Document:
    entry = matched.entry
    return {
        "code": entry.code,
        "title": entry.title,
        "stage": entry.stage,
        "what": entry.what,
        "proof": entry.proof,
        "cause": matched.cause,
        "fix": matched.fix,
        "see": list(entry.see),
        "lines": list(matched.lines),
        "where": matched.where,
    }


def walkthrough(one: "LoadWalkthrough") -> Document:
    """One load of `explain load`: the load's own keys, its stages with their facts, and the .ko's."""
    from kscaffold.explain.questions import questions  # start-up time: `explain` of a word asks none

    return {
        **load(one.report),
        "steps": [_stage(stage) for stage in one.steps],
        "ko": _ko(one.anatomy) if one.anatomy else None,
        "flaw": one.flaw,
        "questions": [{"question": q.question, "answer": q.answer} for q in questions(one)],
        "ordinary_user": load(one.ordinary_user) if one.ordinary_user else None,
    }


def walkthroughs(loads: "Sequence[LoadWalkthrough]") -> Document:
    """`explain load`: one module's document, or those of several."""
    documents = [{"topic": "load", "kind": "module", **walkthrough(one)} for one in loads]
    return documents[0] if len(documents) == 1 else {"topic": "load", "kind": "module", "results": documents}


def _stage(facts: "StageFacts") -> Document:
    return {
        "stage": facts.stage.id,
        "title": facts.stage.title,
        "course": _course(facts.stage),
        "status": facts.status,
        "start": facts.start,
        "microseconds": facts.microseconds,
        "within": facts.within,
        "facts": [_fact(fact) for fact in facts.facts],
    }


def _fact(fact: "Fact") -> Document:
    return {
        "label": fact.label,
        "value": fact.value,
        "source": fact.source,
        "columns": list(fact.columns),
        "rows": [list(row) for row in fact.rows],
    }


def _ko(a: "Anatomy") -> Document:
    ko = a.ko
    return {
        "name": ko.name,
        "size": ko.size,
        "architecture": ko.arch,
        "signed": ko.signed,
        "license": ko.license,
        "vermagic": ko.vermagic,
        "depends": list(ko.depends),
        "init": function(ko.init),
        "exit": function(ko.exit),
        "parameters": [
            {"name": s.name, "type": s.type, "description": s.description, "given": s.given, "value": s.value}
            for s in a.settings
        ],
        "imports": [
            {"symbol": i.symbol, "provider": i.provider, "weak": i.weak, "gpl": i.gpl, "crc": i.crc}
            for i in a.imports
        ],
        "exports": [{"symbol": e.symbol, "gpl": e.gpl, "namespace": e.namespace} for e in ko.exports],
        "sections": [
            # As text: most readers of JSON have no 64-bit numbers.
            {
                "name": s.name,
                "size": s.size,
                "memory": s.memory,
                "address": hex(s.address) if s.address else None,
            }
            for s in a.sections
        ],
        "relocations": [
            {"section": r.section, "count": r.count, "types": dict(r.types)} for r in a.relocations
        ],
    }


def topics(found: "Iterable[Topic]") -> Document:
    """`explain --list`."""
    return {"topics": [{"group": t.group, "name": t.name, "title": t.title} for t in found]}
