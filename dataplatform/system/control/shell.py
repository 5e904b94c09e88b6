"""The prompt itself: IPython with the platform in its namespace, showing answers as tables."""

from __future__ import annotations

import importlib.util
import re
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

from attrs import frozen

from dataplatform.base.agent import Timeout
from dataplatform.dsl.proxy import ReaderProxy, WriterProxy
from dataplatform.errors import Permanent, PlatformError
from dataplatform.result import get_data
from dataplatform.services.gateway.control import GetPlatformInfo, PlatformInfo
from dataplatform.system.control.answering import answering
from dataplatform.system.control.helpers import Asks, Helpers, variable_name
from dataplatform.system.control.shown import SHOWN_TYPES, on_screen

__all__ = ["Prompt", "require_ipython"]

TIMEOUT = 5.0  # seconds
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
        info = get_data(self.asks.ask("", GetPlatformInfo(), TIMEOUT))
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
