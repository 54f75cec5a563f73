"""Paths of provider APIs as clients send them: with or without scheme, host, version prefix and query."""

import re
from typing import NamedTuple
from urllib.parse import unquote

_SCHEME = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://")
#: A first segment with a dot or a port, and no slash before it, is a host.
_HOST = re.compile(r"^[^/]*[.:][^/]*(?=/|$)")
#: Where the caller names the model in the path: Azure, Bedrock, Vertex, Databricks.
_MODELS = re.compile(
    r"/deployments/(?P<azure>[^/]+)/"
    r"|/model/(?P<bedrock>.+)/invoke(?:-with-response-stream)?$"
    r"|/models/(?P<vertex>[^/:]+):(?:raw|streamRaw)Predict$"
    r"|/serving-endpoints/(?P<databricks>[^/]+)/invocations$"
)


class Place(NamedTuple):
    """A path taken apart."""

    #: Lower case, with the port; "" when the path came without.
    host: str
    #: With a leading slash; without query, fragment and trailing slash.
    path: str
    #: The model that the path names.
    model: str | None


def place_of(path: str) -> Place:
    """Take a path apart. Never raises."""
    rest, schemes = _SCHEME.subn("", path.strip())
    rest = rest.split("?", 1)[0].split("#", 1)[0]
    host = ""
    if schemes or _HOST.match(rest):
        host, _, rest = rest.partition("/")
    rest = "/" + rest.strip("/")
    named = _MODELS.search(rest)
    return Place(host.lower(), rest, unquote(next(filter(None, named.groups()))) if named else None)
