"""Which proxy leads to a URL, by the environment, the same for every client; none ever leads to this machine itself."""

from __future__ import annotations

import ipaddress
import os
from contextlib import suppress
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from attrs import field, frozen

from dataplatform.errors import Permanent, Transient

__all__ = ["Proxy", "answered_by", "is_loopback", "proxy_for", "unreachable_through"]

SCHEMES = {"http", "https", "socks4", "socks4a", "socks5", "socks5h"}


@frozen
class Proxy:
    """A proxy, and where it is set: the name of an environment variable, as a rule."""

    url: str = field(repr=False)
    setting: str

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return f"the proxy {parts.scheme}://{parts.netloc.rpartition('@')[2]} ({self.setting})"


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy that HTTP_PROXY, HTTPS_PROXY or ALL_PROXY names for the URL, unless NO_PROXY exempts it.

    This machine is asked directly whatever they say. Raises `Permanent("bad_proxy")` for one that is no URL.

    >>> proxy_for("http://127.0.0.1:8000/api/v3") is None
    True
    """
    parts, proxies = urlsplit(url), getproxies()
    value = proxies.get(parts.scheme) or proxies.get("all")
    host = parts.hostname or ""
    if not value or is_loopback(host) or _is_exempt(host, parts.port, proxies.get("no", "")):
        return None
    proxy = Proxy(value if "://" in value else f"http://{value}", _setting(parts.scheme, value))
    if not _is_usable(proxy.url):
        remedy = f"set {proxy.setting} to a URL such as http://proxy.example:3128, or leave it out"
        raise Permanent("bad_proxy", f"{proxy.setting} names no proxy", remedy=remedy, of_question=False)
    return proxy


def unreachable_through(proxy: Proxy, url: str, reason: str) -> Transient:
    """Return the error of a server that was not reached through its proxy; which of the two failed, `reason` tells."""
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
    remedy = f"check {proxy.setting}, or exempt {parts.hostname} by NO_PROXY"
    return Transient("unreachable", f"cannot reach {server} through {proxy}: {reason}", remedy=remedy)


def answered_by(url: str, shown: str) -> str:
    """Return who has answered a request to the URL: over plain HTTP that may be the proxy in the server's name.

    >>> answered_by("http://127.0.0.1/api", "http://127.0.0.1/api")
    'http://127.0.0.1/api'
    """
    proxy = proxy_for(url) if urlsplit(url).scheme == "http" else None
    return shown if proxy is None else f"{shown}, asked through {proxy},"


def is_loopback(host: str) -> bool:
    """Tell whether a host is this machine: `localhost`, a name below it, or an address that leads nowhere else.

    >>> [is_loopback(host) for host in ("localhost", "127.8.8.8", "::1", "api.example", "10.0.0.1")]
    [True, True, True, False, False]
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def _is_exempt(host: str, port: int | None, no_proxy: str) -> bool:
    """Tell whether NO_PROXY, or the system's settings, exempt a host: names, their suffixes, addresses, networks."""
    if proxy_bypass(host if port is None else f"{host}:{port}"):
        return True
    with suppress(ValueError):
        address = ipaddress.ip_address(host)
        return any(address in network for network in _networks(no_proxy))
    return False


def _networks(no_proxy: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    networks = []
    for entry in no_proxy.split(","):
        with suppress(ValueError):
            networks.append(ipaddress.ip_network(entry.strip().replace("[", "").replace("]", ""), strict=False))
    return networks


def _setting(scheme: str, value: str) -> str:
    wanted = (f"{scheme}_proxy", "all_proxy")
    named = [name for name, set_to in os.environ.items() if name.lower() in wanted and set_to == value]
    return named[0] if named else "this system's settings"


def _is_usable(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0 and not set(url) & set(" \t\r\n")
    except ValueError:
        return False
