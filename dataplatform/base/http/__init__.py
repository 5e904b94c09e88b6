"""The HTTP client agent: one polite session with one server, whose every failure is a value."""

from typing import TYPE_CHECKING

from dataplatform.faces import face

if TYPE_CHECKING:
    from dataplatform.base.http.client import HttpClient
    from dataplatform.base.http.messages import Get, Response
    from dataplatform.base.http.rate import SetBudget
    from dataplatform.base.http.settings import HttpSettings
else:
    __getattr__, __dir__ = face(__name__)

__all__ = ["Get", "HttpClient", "HttpSettings", "Response", "SetBudget"]
