"""Linked children are told of each other when both run, and of each other's restarts."""

from __future__ import annotations

import pytest

from dataplatform.base.agent import Link, Ready, RestartChild, Strategy
from tests.support.agents import Hooks, Stage, Trace, fail

LINK = Link("source", "target")


def pair(stage: Stage, strategy: Strategy = Strategy.ONE_FOR_ONE, links: tuple[Link, ...] = (LINK,)) -> None:
    stage.supervise(stage.child("target"), stage.child("source", stage=1), links=links, strategy=strategy)
    stage.parent.expect(Ready)


def test_both_ends_of_a_link_are_told_of_each_other(stage: Stage, trace: Trace) -> None:
    pair(stage)
    trace.until("target#1 met source upstream", "source#1 met target downstream")
    assert trace.rest() == []


def test_no_end_is_told_before_both_run(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    stage.supervise(stage.child("target"), stage.child("source", Hooks(on_open=gate)), links=[LINK])
    trace.until("target#1 opens", "source#1 opens")
    stage.settle()
    assert trace.rest() == []
    gate.open()
    trace.until("target#1 met source upstream", "source#1 met target downstream")


def test_children_without_a_link_are_told_nothing(stage: Stage, trace: Trace) -> None:
    pair(stage, links=())
    stage.settle()
    assert trace.rest() == ["target#1 opens", "source#1 opens"]


def test_a_source_meets_all_of_its_targets(stage: Stage, trace: Trace) -> None:
    stage.supervise(
        stage.child("one"), stage.child("two"), stage.child("source", stage=1),
        links=[Link("source", "one"), Link("source", "two")],
    )  # fmt: skip
    trace.until(
        "source#1 met one downstream",
        "source#1 met two downstream",
        "one#1 met source upstream",
        "two#1 met source upstream",
    )


@pytest.mark.parametrize(
    ("crashed", "peer", "place", "peers_place"),
    [("target", "source", "upstream", "downstream"), ("source", "target", "downstream", "upstream")],
)
def test_the_peer_of_a_restarted_child_learns_of_it_and_both_meet_again(
    stage: Stage, trace: Trace, crashed: str, peer: str, place: str, peers_place: str
) -> None:
    pair(stage)
    trace.until("target#1 met source upstream", "source#1 met target downstream")
    stage.crash(crashed)
    stage.pass_backoff()
    happened = trace.until(f"{peer}#1 met {crashed} {peers_place}", f"{crashed}#2 met {peer} {place}")
    assert [event for event in happened if event.startswith(peer)] == [
        f"{peer}#1 lost {crashed}",
        f"{peer}#1 met {crashed} {peers_place}",
    ]
    assert f"{crashed}#2 lost {peer}" not in happened + trace.rest()


def test_a_restart_on_request_is_a_restart(stage: Stage, trace: Trace) -> None:
    pair(stage)
    stage.runtime.directory.address("root").tell(RestartChild("target"))
    trace.until("source#1 lost target", "target#2 met source upstream")


def test_two_that_were_restarted_together_meet_anew(stage: Stage, trace: Trace) -> None:
    pair(stage, Strategy.ONE_FOR_ALL)
    stage.crash("target")
    stage.pass_backoff()
    trace.until("source#2 met target downstream", "target#2 met source upstream")


def test_a_child_that_crashes_while_it_meets_its_peer_meets_it_again(stage: Stage, trace: Trace) -> None:
    pair(stage)
    stage.tell("target", fail(ValueError("boom")))
    stage.pass_backoff()
    trace.until("source#1 lost target", "target#2 met source upstream")


def test_a_peer_that_waits_for_its_restart_is_met_when_it_runs_again(stage: Stage, trace: Trace) -> None:
    pair(stage)
    trace.until("target#1 met source upstream", "source#1 met target downstream")
    stage.crash("source")
    stage.crash("target")
    trace.rest()
    stage.clock.advance(8.0)
    happened = trace.until("source#2 met target downstream", "target#2 met source upstream")
    assert not [event for event in happened if event.startswith(("source#1", "target#1"))]


def test_a_link_to_no_child_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="links name agents that are no children: targett"):
        stage.supervise(stage.child("source"), links=[Link("source", "targett")])
