"""The HTTP client agent: one polite session with one server, whose every failure is a value."""

from dataplatform.base.http.client import HttpClient
from dataplatform.base.http.messages import Get, LimitRate, Response
from dataplatform.base.http.settings import HttpSettings

__all__ = ["Get", "HttpClient", "HttpSettings", "LimitRate", "Response"]
