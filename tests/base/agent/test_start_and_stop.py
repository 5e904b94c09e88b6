"""Children start stage by stage, each when the one below is ready, and stop in reverse after a drain."""

from __future__ import annotations

from dataplatform.base.agent import Context, Drain, Drained, Ready, RestartLimit, Supervisor, Terminated
from dataplatform.base.agent.children import Phase
from dataplatform.result import Success
from tests.support.agents import DEADLINE, Get, Hooks, Probe, Stage, Trace, fail

LAYERS = ("client", "target", "source")


def layers(stage: Stage, **hooks: Hooks) -> None:
    children = [stage.child(name, hooks.get(name), stage=number) for number, name in enumerate(LAYERS)]
    stage.supervise(*reversed(children))  # the order of the specs does not matter


def test_a_stage_starts_when_the_one_below_it_is_ready(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    layers(stage, client=Hooks(on_open=gate))
    gate.reached()
    stage.settle()
    assert trace.rest() == ["client#1 opens"]
    gate.open()
    stage.parent.expect(Ready)
    assert trace.rest() == ["target#1 opens", "source#1 opens"]


def test_children_of_one_stage_open_at_the_same_time(stage: Stage, trace: Trace) -> None:
    first, second = stage.gate(), stage.gate()
    stage.supervise(stage.child("a", Hooks(on_open=first)), stage.child("b", Hooks(on_open=second)))
    first.reached()
    second.reached()
    assert stage.parent.rest() == []
    first.open()
    second.open()
    stage.parent.expect(Ready)


def test_a_stage_waits_for_a_child_below_that_is_restarted(stage: Stage, trace: Trace) -> None:
    def once(probe: Probe) -> None:
        if probe.context.incarnation == 1:
            raise ConnectionError("refused")

    layers(stage, target=Hooks(on_open=once))
    stage.pass_backoff()
    stage.parent.expect(Ready)
    assert trace.rest() == [
        "client#1 opens", "target#1 opens", "target#1 closed", "target#2 opens", "source#1 opens",
    ]  # fmt: skip


def test_a_child_that_says_when_it_is_ready_is_waited_for(stage: Stage, trace: Trace) -> None:
    class Later(Probe):
        def _opened(self) -> None:
            self.trace("is not ready yet")

    stage.supervise(Later.child("later", trace), stage.child("next", stage=1))
    trace.until("later#1 is not ready yet")
    assert stage.parent.rest() == []
    stage.tell("later", Probe.ready)
    stage.parent.expect(Ready)
    assert trace.rest() == ["next#1 opens"]


def test_a_supervisor_is_ready_once_however_often_its_children_are(stage: Stage, trace: Trace) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    stage.crash("source")
    stage.pass_backoff()
    trace.until("source#2 opens")
    stage.settle()
    assert stage.parent.rest() == []


def test_stages_drain_and_stop_in_reverse(stage: Stage, trace: Trace) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    trace.rest()
    stage.runtime.directory.address("root").tell(Drain())
    assert stage.parent.expect(Drained) == Drained("root", 1)
    assert trace.rest() == [
        f"{name}#1 {event}" for name in ("source", "target", "client") for event in ("drains", "closed")
    ]


def test_a_stage_is_drained_when_the_one_above_it_is_down(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    layers(stage, source=Hooks(on_close=gate))
    stage.parent.expect(Ready)
    trace.rest()
    stage.runtime.directory.address("root").tell(Drain())
    gate.reached()
    stage.settle()
    assert trace.rest() == ["source#1 drains"]
    gate.open()
    stage.parent.expect(Drained)


def test_a_child_that_takes_its_time_to_drain_is_waited_for(stage: Stage, trace: Trace) -> None:
    layers(stage, source=Hooks(on_drain=lambda probe: probe.trace("has batches in hand")))
    stage.parent.expect(Ready)
    stage.runtime.directory.address("root").tell(Drain())
    trace.until("source#1 has batches in hand")
    stage.clock.advance(3.9)
    stage.settle()
    assert "source#1 closed" not in trace.rest()
    stage.tell("source", Probe.drained)
    stage.parent.expect(Drained)


def test_a_child_that_does_not_drain_in_time_is_stopped(
    stage: Stage, trace: Trace, logs: list[dict[str, object]]
) -> None:
    layers(stage, source=Hooks(on_drain=lambda probe: probe.trace("has batches in hand")))
    stage.parent.expect(Ready)
    stage.runtime.directory.address("root").tell(Drain())
    trace.until("source#1 has batches in hand")
    assert stage.pass_limit("source", Phase.DRAINING) == 4.0
    stage.parent.expect(Drained)
    assert [(log["event"], log["child"]) for log in logs] == [("not drained in time", "source")]


def test_a_child_that_dies_while_it_drains_is_down(stage: Stage, trace: Trace) -> None:
    layers(stage, source=Hooks(on_drain=fail(ValueError("boom"))))
    stage.parent.expect(Ready)
    stage.runtime.directory.address("root").tell(Drain())
    stage.parent.expect(Drained)


def test_a_child_that_died_before_it_is_told_to_drain_is_down(stage: Stage, trace: Trace) -> None:
    """The supervisor believes it to run, as its death is reported when its clean-up is over."""
    gate = stage.gate()
    layers(stage, source=Hooks(on_close=gate))
    stage.parent.expect(Ready)
    stage.tell("source", fail(ValueError("boom")))
    gate.reached()
    stage.runtime.directory.address("root").tell(Drain())
    stage.settle()
    gate.open()
    stage.parent.expect(Drained)


def test_a_child_that_waits_for_its_restart_is_down_already(stage: Stage, trace: Trace) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    stage.crash("target")
    stage.runtime.directory.address("root").tell(Drain())
    stage.parent.expect(Drained)
    stage.clock.advance(60.0)
    stage.settle()
    assert stage.restarts(*LAYERS) == {"client": 0, "target": 0, "source": 0}


def test_a_drain_during_the_start_stops_what_has_started(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    layers(stage, target=Hooks(on_open=gate))
    gate.reached()
    stage.runtime.directory.address("root").tell(Drain())
    stage.settle()
    gate.open()
    stage.parent.expect(Drained)
    assert trace.rest() == [
        "client#1 opens", "target#1 opens", "target#1 closed", "client#1 drains", "client#1 closed",
    ]  # fmt: skip


def test_a_child_that_says_drained_without_being_asked_goes_on(stage: Stage, trace: Trace) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    stage.tell("source", Probe.drained)
    stage.running("source")
    assert stage.runtime.directory.address("source").ask(Get(lambda _: "goes on"), DEADLINE) == Success("goes on")


def test_a_drained_supervisor_can_be_stopped(stage: Stage) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    root = stage.runtime.directory.address("root")
    root.tell(Drain())
    stage.parent.expect(Drained)
    entry = stage.runtime.directory.entry("root")
    assert entry is not None
    assert entry.ref is not None
    entry.ref.stop(timeout=DEADLINE)
    assert stage.parent.expect(Terminated) == Terminated("root", 1, None)


def test_a_supervisor_that_is_stopped_without_a_drain_stops_its_children_in_reverse(stage: Stage, trace: Trace) -> None:
    layers(stage)
    stage.parent.expect(Ready)
    trace.rest()
    entry = stage.runtime.directory.entry("root")
    assert entry is not None
    assert entry.ref is not None
    entry.ref.stop(block=False)
    stage.parent.expect(Terminated)
    assert trace.rest() == ["source#1 closed", "target#1 closed", "client#1 closed"]


def test_a_supervisor_that_is_stopped_without_a_drain_stops_a_stage_together(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    root = stage.supervise(stage.child("a", Hooks(on_close=gate), shutdown_timeout=60.0), stage.child("b"))
    stage.parent.expect(Ready)
    root.stop(block=False)
    gate.reached()
    trace.until("b#1 closed")
    gate.open()
    stage.parent.expect(Terminated)


def test_a_nested_supervisor_drains_its_children(stage: Stage, trace: Trace) -> None:
    inner = Supervisor.child("inner", [stage.child("a"), stage.child("b", stage=1)])
    stage.supervise(inner, stage.child("client", stage=-1))
    stage.parent.expect(Ready)
    trace.rest()
    stage.runtime.directory.address("root").tell(Drain())
    stage.parent.expect(Drained)
    assert trace.rest() == [f"{name}#1 {event}" for name in ("b", "a", "client") for event in ("drains", "closed")]


def test_a_stop_of_a_nested_supervisor_that_crashed_leaves_no_child_behind(stage: Stage, trace: Trace) -> None:
    inner = Supervisor.child("inner", [stage.child("a"), stage.child("b", stage=1)])
    stage.supervise(inner, restart_limit=RestartLimit(restarts=1))
    stage.parent.expect(Ready)
    trace.rest()
    stage.strike("inner")
    stage.pass_backoff()
    assert trace.until("b#1 opens") == ["b#1 closed", "a#1 closed", "a#1 opens", "b#1 opens"]


def test_a_child_that_is_told_to_stop_handles_no_more_of_what_waits_for_it(stage: Stage, trace: Trace) -> None:
    gate = stage.gate()
    contexts: list[Context] = []
    stage.supervise(stage.child("a", Hooks(on_init=lambda probe: contexts.append(probe.context))))
    stage.parent.expect(Ready)
    stage.tell("a", gate)
    gate.reached()
    for _ in range(100):
        stage.tell("a", lambda probe: probe.trace("handled"))
    entry = stage.runtime.directory.entry("root")
    assert entry is not None
    assert entry.ref is not None
    entry.ref.stop(block=False)
    assert contexts[0].stopping.wait(DEADLINE)
    gate.open()
    stage.parent.expect(Terminated)
    assert trace.rest() == ["a#1 opens", "a#1 closed"]
