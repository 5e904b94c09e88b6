"""The URL of a server in settings: an error says which part is wrong and never repeats it, as it may be a password."""

from __future__ import annotations

from urllib.parse import urlsplit

__all__ = ["check_server_url"]


def check_server_url(option: str, url: str, *, with_query: bool = False) -> None:
    """Raise `ValueError` for what is not the http(s) URL of a server, or holds a user name or password.

    >>> check_server_url("base_url", "https://api.example:8443/v3")
    >>> check_server_url("base_url", "http://ada:hunter2/v3")
    Traceback (most recent call last):
    ValueError: base_url: its port is not a number from 1 to 65535; write https://HOST[:PORT][/PATH]
    """
    if problem := _problem(url, with_query=with_query):
        raise ValueError(f"{option}: {problem}; write https://HOST[:PORT][/PATH]") from None


def _problem(url: str, *, with_query: bool) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return "its host is not a name or an address"
    if parts.scheme not in {"http", "https"}:
        return "it does not begin with http:// or https://"
    if "@" in parts.netloc:
        return "it holds a user name or password: give credentials as a header"
    if not parts.hostname:
        return "it has no host"
    if parts.fragment or (parts.query and not with_query):
        return "it has a fragment" if with_query else "it has a query or a fragment"
    if "@" in parts.path:  # a password with a slash, of which the beginning looks like a port
        return "there is an @ in it: give credentials as a header, and write an @ of the path as %40"
    return "" if _has_usable_port(parts.netloc) else "its port is not a number from 1 to 65535"


def _has_usable_port(place: str) -> bool:
    try:
        return urlsplit(f"//{place}").port != 0
    except ValueError:
        return False
