"""The prompt: IPython with the platform in its namespace, its agents and helpers, answers shown as tables.

Agents as a prompt knows them: their operations wait for the answer, so that an assignment gives it. What one calls at
the prompt besides the agents: functions on the platform as a whole. The prompt itself: IPython with the platform in its
namespace, showing answers as tables. `--repl`: a platform runs, and its terminal is a prompt.
"""

from __future__ import annotations

import importlib.util
import inspect
import keyword
import pydoc
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, cast

from attrs import define, evolve, frozen

from dataplatform.base.agent import Request, Timeout
from dataplatform.base.database import Rows
from dataplatform.base.streaming import TopicMessage
from dataplatform.dsl.operations.proxy import Askable, Proxy, ReaderProxy, WriterProxy
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import Result, get_data
from dataplatform.services.gateway.operations import operations
from dataplatform.services.gateway.requests import MOST_ROWS, GetPlatformInfo, PlatformInfo
from dataplatform.services.service import Phase, PlatformStatus
from dataplatform.system.console.shown import SHOWN_TYPES, on_screen
from dataplatform.system.console.view import account, elapsed

if TYPE_CHECKING:
    from dataplatform.system.platform.platform import Platform

__all__ = [
    "PATIENCE",
    "Asks",
    "Helpers",
    "Prompt",
    "PromptView",
    "answering",
    "open_prompt",
    "require_ipython",
    "variable_name",
]

T = TypeVar("T")
P = TypeVar("P", bound=Proxy)
PATIENCE = 30.0  # seconds that an answer is waited for; Ctrl-C ends the wait sooner


@frozen
class AnsweringAddress:
    """An address whose futures have been waited for."""

    _address: Askable

    @property
    def name(self) -> str:
        return self._address.name

    def ask(self, request: Request[T], timeout: float) -> Result[T]:
        return self._address.ask(request, timeout)

    def future(self, request: Request[T]) -> Any:
        """Return the answer, and no future of it; one that does not come in time is a failure that says so."""
        return self.ask(request, PATIENCE)


def answering(proxy: P) -> P:
    """Return a proxy whose operations answer a `Result` at once.

    At a prompt `p = coingecko.get_current_prices(["bitcoin"])` makes `p.data` the prices. `platform["coingecko"]` gives
    the proxy of scripts, whose operations answer futures.
    """
    return evolve(proxy, address=AnsweringAddress(proxy.address))


TIMEOUT = 20.0  # seconds


class Asks(Protocol):
    """Whoever carries requests to a platform: its own operator, or the other end of its control socket."""

    def ask(self, agent: str, request: Request[T], timeout: float) -> Result[T]: ...


@frozen
class Helpers:
    """The functions of the prompt; each says what it does to `help`."""

    _platform: Asks

    def namespace(self) -> dict[str, Callable[..., Any]]:
        """Return the functions by the names they are called by."""
        functions = (self.status, self.pause, self.resume, self.restart, self.skip, self.tail, self.sql, self.help)
        return {function.__name__: function for function in functions}

    def status(self) -> PlatformStatus:
        """Look at everything: `status()`."""
        status: PlatformStatus = get_data(self._operate("status"))
        return status

    def pause(self, name: str) -> Result[None]:
        """Have a source read nothing, until `resume`: `pause("coingecko")`. What is in flight settles."""
        return self._operate("pause", source=name)

    def resume(self, name: str) -> Result[None]:
        """Have a paused source read on: `resume("coingecko")`."""
        return self._operate("resume", source=name)

    def restart(self, name: str) -> Result[None]:
        """Stop an agent in good order and start it anew: `restart("coingecko")`. Nothing is lost by it."""
        return self._operate("restart", agent=name)

    def skip(self, topic: str, partition: int) -> Result[str]:
        """Give up a batch that cannot be read and holds a partition up, as a dead letter: `skip("prices", 2)`."""
        return self._operate("skip", topic=topic, partition=partition)

    def tail(self, topic: str, n: int = 10) -> Result[list[TopicMessage]]:
        """Read the last messages of a topic, at most 1,000: `tail("crypto-prices", n=5)`."""
        return self._operate("tail", topic=topic, most=n)

    def sql(self, select: str, client: str | None = None, most: int = MOST_ROWS) -> Result[Rows]:
        """Run one SELECT, read-only, on the database, or the client that is named: `sql("select now()")`."""
        return self._operate("sql", sql=select, client=client, most=most)

    def _operate(self, operation: str, **arguments: Any) -> Result[Any]:
        asked = operations()[operation].asked(TIMEOUT, **arguments)
        return self._platform.ask(asked.agent, asked.request, asked.timeout)

    def help(self, what: object = None) -> None:
        """Tell what something does: `help(coingecko.get_current_prices)`, `help(coingecko)`, `help(tail)`."""
        if what is not None:
            print(pydoc.plain(pydoc.render_doc(what, "About %s")))  # noqa: T201  a prompt's business
            return
        for name, function in self.namespace().items():
            arguments = ", ".join(inspect.signature(function).parameters)
            print(f"{name}({arguments})\n    {inspect.getdoc(function)}")  # noqa: T201  a prompt's business
        print("help(coingecko), or another agent's name, lists its operations")  # noqa: T201


def variable_name(name: str, taken: Iterable[str] = ()) -> str:
    """Return the name of an agent as Python can have it, other than those that are taken.

    >>> variable_name("timescale.1"), variable_name("coingecko-http"), variable_name("status", taken={"status"})
    ('timescale_1', 'coingecko_http', 'status_')
    """
    word = re.sub(r"\W", "_", name)
    word = f"_{word}" if word[:1].isdigit() else word
    while keyword.iskeyword(word) or word in taken:
        word += "_"
    return word


GREETING_TIMEOUT = 5.0  # seconds
NARROWEST = 40
NAMES_WANTED = re.compile(r"\b(pause|resume|restart|tail)\(\s*(?:name=|topic=)?[\"'](?P<begun>[\w.-]*)$")


def require_ipython() -> None:
    """Raise `Permanent` where IPython is not installed."""
    if importlib.util.find_spec("IPython") is None:
        message = "the prompt needs IPython, which this Python has not installed"
        raise Permanent("not_installed", message, remedy="pip install 'dataplatform[repl]'")


@frozen
class Prompt:
    """A prompt on a platform, this process's own or another's.

    `platform` is what stands under that name, `asks` carries the functions' requests, `leaving` says what Ctrl-D does.
    """

    platform: Any
    asks: Asks
    leaving: str
    notes: tuple[str, ...] = ()

    def run(self) -> None:
        """Open the prompt, and return when the person leaves it or SIGTERM comes; raises `PlatformError` before."""
        info = get_data(self.asks.ask("", GetPlatformInfo(), GREETING_TIMEOUT))
        namespace = self.namespace(info)
        shell = _shell(namespace)
        _show_answers(shell, type(self.platform))
        _complete_names(shell, info)
        print(self._banner(info, namespace))  # noqa: T201  a prompt's business
        with _signals_for(shell):
            shell.mainloop()

    def namespace(self, info: PlatformInfo) -> dict[str, Any]:
        """Return what the prompt knows by name: `platform`, the functions, and each agent's proxy."""
        names: dict[str, Any] = {"platform": self.platform, **Helpers(self.asks).namespace()}
        for agent in info.agents:
            names[variable_name(agent, names)] = answering(self.platform[agent])
        return names

    def _banner(self, info: PlatformInfo, namespace: Mapping[str, Any]) -> str:
        prices = ", simulated prices" if info.demo else ""
        example = f'{variable_name(info.sources[0])}.get_current_prices(["bitcoin"])' if info.sources else ""
        flow = [name for name, value in namespace.items() if isinstance(value, (ReaderProxy, WriterProxy))]
        lines = [
            f"A platform of {len(info.agents)} agents{prices}; its data is in {info.data_dir}",
            *self.notes,
            f"  agents:    {', '.join(flow)}, … and the others: Tab completes their names and operations",
            f"  functions: {', '.join(f'{name}()' for name in Helpers(self.asks).namespace())}; platform",
            "  help(NAME) tells what a function, an agent or an operation does",
            *([f"  such as:   {example}"] if example else []),
            self.leaving,
        ]
        return "\n".join(lines)


def _shell(namespace: dict[str, Any]) -> Any:
    """Return a new shell; IPython's types leave too much open to be of use."""
    from IPython.core.guarded_eval import EVALUATION_POLICIES  # noqa: PLC0415
    from IPython.terminal.interactiveshell import TerminalInteractiveShell  # noqa: PLC0415  an extra, and slow
    from traitlets.config import Config  # noqa: PLC0415

    config = Config()
    config.TerminalInteractiveShell.confirm_exit = False
    config.TerminalInteractiveShell.term_title = False
    config.TerminalInteractiveShell.xmode = "Minimal"
    config.TerminalInteractiveShell.enable_tip = False
    config.IPCompleter.use_jedi = False  # which does not know the arguments of what it cannot read the source of
    limited = cast("Any", EVALUATION_POLICIES["limited"])
    looked_into = limited.allowed_getattr | {ReaderProxy, WriterProxy}  # whose `__getattr__` finds operations only
    config.IPCompleter.policy_overrides = {"allowed_getattr": looked_into}
    return TerminalInteractiveShell.instance(config=config, user_ns=namespace)


def _show_answers(shell: Any, platform: type[Any]) -> None:
    """Show what the platform answers as tables, the platform itself by its status, and errors without a traceback."""
    formatter = shell.display_formatter.formatters["text/plain"]
    for kind in SHOWN_TYPES:
        formatter.for_type(kind, lambda value, printer, _: printer.text(_on_terminal(value)))
    formatter.for_type(platform, lambda value, printer, _: printer.text(_on_terminal(value.status())))
    shell.set_custom_exc((PlatformError, Timeout), _show_error)


def _show_error(shell: Any, kind: Any, error: BaseException, trace: Any, tb_offset: Any = None) -> None:
    del shell, kind, trace, tb_offset
    print(_on_terminal(error))  # noqa: T201


def _on_terminal(value: Any) -> str:
    width = max(NARROWEST, shutil.get_terminal_size().columns)
    return on_screen(value, width, colour=sys.stdout.isatty())


def _complete_names(shell: Any, info: PlatformInfo) -> None:
    """Complete the names of agents and topics within quotation marks."""
    from IPython.core.completer import (  # noqa: PLC0415
        CompletionContext,
        SimpleCompletion,
        SimpleMatcherResult,
        context_matcher,
    )

    names = {"pause": info.sources, "resume": info.sources, "restart": info.agents, "tail": info.topics}

    def match(context: CompletionContext) -> SimpleMatcherResult:
        found = NAMES_WANTED.search(context.text_until_cursor)
        wanted = [name for name in names[found[1]] if name.startswith(found["begun"])] if found else []
        cut = len(found["begun"]) - len(context.token) if found else 0
        completions = [SimpleCompletion(text=name[max(0, cut) :], type="name") for name in wanted]
        return {"completions": completions, "suppress": bool(completions)}

    shell.Completer.custom_matchers.append(context_matcher()(match))


@contextmanager
def _signals_for(shell: Any) -> Iterator[None]:
    """Let Ctrl-C interrupt what is typed or waited for, and SIGTERM leave."""

    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        shell.ask_exit()
        app: Any = shell.pt_app.app if shell.pt_app else None
        if app is not None and app.is_running:
            app.loop.call_soon_threadsafe(lambda: app.exit(exception=EOFError()))
        else:
            raise KeyboardInterrupt

    before = {
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
        signal.SIGTERM: signal.signal(signal.SIGTERM, leave),
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


LOOK = 0.2  # seconds between looks at a platform that starts, or that somebody else may end
LEAVING = "Ctrl-D or exit leaves: what is in flight is drained, and the platform stops."


@define(eq=False)
class PromptView:
    """Says on the terminal, before and after the prompt, what the platform does."""

    say: Callable[[str], None]
    _phase: Phase | None = None

    def show(self, status: PlatformStatus) -> None:
        changed, self._phase = status.phase is not self._phase, status.phase
        if not changed:
            return
        match status.phase:
            case Phase.STARTING:
                self.say("starting …")
            case Phase.DRAINING:
                self.say("draining: waiting for what is in flight; Ctrl-C stops at once")
            case Phase.STOPPED:
                self.say("; ".join([f"stopped after {elapsed(status.uptime)}", *account(status)]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def open_prompt(platform: Platform, log: Path, say: Callable[[str], None], stop_asked: Callable[[], bool]) -> None:
    """Wait until the platform is ready, and open a prompt on it; returns when the person leaves, or it cannot start."""
    while not platform.wait_ready(LOOK):
        if stop_asked() or platform.wait_end(0):
            return
    prompt = Prompt(platform, platform.operator, LEAVING, (f"Its log goes to {log}",))
    with _told_of_the_end(platform, say):
        try:
            prompt.run()
        except PlatformError as error:
            say(str(error))


@contextmanager
def _told_of_the_end(platform: Platform, say: Callable[[str], None]) -> Iterator[None]:
    """Say so when the platform ends while somebody types."""
    left = threading.Event()

    def watch() -> None:
        while not left.is_set():
            if platform.wait_end(LOOK):
                if not left.is_set():
                    why = f"gave up: {platform.reason}" if platform.reason else "was stopped"
                    say(f"the platform {why}; nothing runs any more, Ctrl-D leaves")
                return

    watcher = threading.Thread(target=watch, name="watching the platform", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()
