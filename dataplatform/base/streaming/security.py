"""How a client and brokers prove themselves to each other: which settings go together, which files can be used."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from attrs import Attribute

__all__ = ["PROTOCOLS", "check_credential", "check_file", "check_protocol", "tls_context", "uses_sasl", "uses_tls"]

PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


class Security(Protocol):
    """The settings that are about it."""

    @property
    def brokers(self) -> tuple[str, ...]: ...
    @property
    def security_protocol(self) -> str: ...
    @property
    def ca_file(self) -> str | None: ...
    @property
    def cert_file(self) -> str | None: ...
    @property
    def key_file(self) -> str | None: ...


def uses_sasl(settings: Security) -> bool:
    return settings.security_protocol.startswith("SASL_")


def uses_tls(settings: Security) -> bool:
    return settings.security_protocol.endswith("SSL")


def tls_context(settings: Security) -> ssl.SSLContext:
    """Return what TLS is spoken with; raises `ValueError` for a file that cannot be used."""
    for option in ("ca_file", "cert_file", "key_file"):
        _require_file(option, getattr(settings, option))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.ca_file is None:
        context.load_default_certs()
    else:
        try:
            context.load_verify_locations(settings.ca_file)
        except ssl.SSLError as error:
            raise ValueError(f"ca_file: {settings.ca_file} holds no certificate in PEM form") from error
    if settings.cert_file is not None:
        try:
            context.load_cert_chain(settings.cert_file, settings.key_file, password=lambda: "")  # else it asks for one
        except ssl.SSLError as error:
            files = " and ".join(file for file in (settings.cert_file, settings.key_file) if file)
            remedy = "give the certificate and its own key, in PEM form, the key without a password"
            raise ValueError(f"cert_file: {files} cannot be used ({error.reason or error}); {remedy}") from error
    return context


# Validators of the settings


def check_protocol(settings: Security, _option: Attribute[str], protocol: str) -> None:
    if settings.brokers == ("embedded",) and protocol != PROTOCOLS[0]:
        raise ValueError(f"security_protocol: the embedded broker speaks {PROTOCOLS[0]}, not {protocol}")


def check_credential(settings: Security, option: Attribute[str | None], value: str | None) -> None:
    """Refuse a part of the login that is missing where it is asked for, or that would go unused."""
    if uses_sasl(settings) and not value:
        needed = "sasl_mechanism, username and password"
        raise ValueError(f"{option.name}: is missing; security_protocol {settings.security_protocol} needs {needed}")
    if value and not uses_sasl(settings):
        raise ValueError(f"{option.name}: is for SASL; set security_protocol to SASL_SSL or SASL_PLAINTEXT")


def check_file(settings: Security, option: Attribute[str | None], value: str | None) -> None:
    if value is None:
        return
    if not uses_tls(settings):
        raise ValueError(f"{option.name}: is for TLS; set security_protocol to SSL or SASL_SSL")
    if option.name == "key_file" and settings.cert_file is None:
        raise ValueError("key_file: goes with cert_file, the certificate that it is the key of")
    _require_file(option.name, value)
    if option.name != "key_file":  # that one is loaded with its certificate
        tls_context(settings)


def _require_file(option: str, file: str | None) -> None:
    if file is None:
        return
    if not Path(file).is_file():
        raise ValueError(f"{option}: there is no file {file}")
    if not os.access(file, os.R_OK):
        raise ValueError(f"{option}: this user may not read {file}")
