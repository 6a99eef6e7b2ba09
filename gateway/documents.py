"""/openapi.json, and the same for eyes at /docs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from html import escape
from typing import Any

from werkzeug.wrappers import Request, Response

# The page has no script, and nobody else's page has it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_HEADERS = {"cache-control": "public, max-age=300", "content-security-policy": _POLICY}


class Documents:
    """A WSGI application: the two pages of an OpenAPI document; all else is `otherwise`'s."""

    def __init__(self, document: dict[str, Any], otherwise: Callable):
        self._otherwise = otherwise
        self._pages = {
            "/openapi.json": (json.dumps(document, ensure_ascii=False), "application/json"),
            "/docs": (_page(document), "text/html; charset=utf-8"),
        }

    def __call__(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        request = Request(environ)
        if request.method not in ("GET", "HEAD") or request.path not in self._pages:
            return self._otherwise(environ, start_response)
        text, kind = self._pages[request.path]
        response = Response(text, content_type=kind, headers=_HEADERS)
        response.add_etag()
        return response.make_conditional(request)(environ, start_response)


def _page(document: dict[str, Any]) -> str:
    operations = [
        (verb, path, operation) for path, verbs in document["paths"].items() for verb, operation in verbs.items()
    ]
    tags = sorted({operation["tags"][0] for *_, operation in operations})
    sections = (
        f"<h2 id={tag}>{tag}</h2>" + "".join(_operation(*each) for each in operations if each[2]["tags"] == [tag])
        for tag in tags
    )
    links = " · ".join(f"<a href=#{tag}>{tag}</a>" for tag in [*tags, "messages"])
    messages = "".join(
        f"<h3 id={escape(name)}>{escape(name)}</h3><p>{escape(schema.get('description', ''))}</p>{_fields(schema)}"
        for name, schema in document["components"]["schemas"].items()
    )
    above = f"<p>{links} · <a href=/openapi.json>openapi.json</a></p>{_about(document)}"
    return f"""<!doctype html><html lang=en><meta charset=utf-8><title>Eco² REST API</title>
<meta name=viewport content="width=device-width"><style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60em; margin: 2em auto; padding: 0 1em }}
pre {{ background: #f3f5f2; padding: .7em; overflow-x: auto }} summary {{ cursor: pointer }}
</style><h1>Eco² REST API</h1>{above}{"".join(sections)}
<h2 id=messages>messages</h2>{messages}</html>"""


def _about(document: dict[str, Any]) -> str:
    """Paragraphs, with the little of Markdown that they have."""
    text = escape(document["info"]["description"].strip(), quote=False)
    text = re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", re.sub(r"`(.+?)`", r"<code>\1</code>", text))
    return "".join(f"<p>{paragraph}</p>" for paragraph in text.split("\n\n"))


def _fields(schema: dict[str, Any]) -> str:
    """A line for each field of a message; the values of an enum."""
    if "enum" in schema:
        return f"<p>{', '.join(f'<code>{escape(value)}</code>' for value in schema['enum'])}</p>"
    needed = schema.get("required", ())
    shown = (
        f"<li><code>{escape(name)}</code> ({_kind(field)}{', required' if name in needed else ''}) "
        f"{escape(field.get('description', ''))}</li>"
        for name, field in schema.get("properties", {}).items()
    )
    return f"<ul>{''.join(shown)}</ul>"


def _kind(schema: dict[str, Any]) -> str:
    """The type of a field and what it must satisfy, in a few words."""
    if "anyOf" in schema:
        return _kind(schema["anyOf"][0])
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href=#{name}>{name.removesuffix('.Asked').rpartition('.')[2]}</a>"
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    kinds = schema.get("type", "any")
    kind = kinds if isinstance(kinds, str) else kinds[0]
    limits = (f"{name} {schema[name]}" for name in ("minLength", "maxLength", "minimum", "maximum") if name in schema)
    values = " | ".join(escape(value) for value in schema.get("enum", ()) if value)
    return ", ".join(filter(None, [kind, schema.get("format", ""), values, *limits]))


def _operation(verb: str, path: str, operation: dict[str, Any]) -> str:
    shown = "".join(
        f"<li><code>{escape(each['name'])}</code> ({each['in']}, {_kind(each['schema'])}"
        f"{', required' if each.get('required') else ''}) "
        f"{escape(each['schema'].get('description', ''))}</li>"
        for each in operation["parameters"]
    )
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    example = f"<pre>{escape(json.dumps(body['example'], ensure_ascii=False))}</pre>" if "example" in body else ""
    asked = body.get("schema", {})
    asked = f"<p>Body: {_kind(asked)}</p>" if "$ref" in asked else _fields(asked)
    answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
    who = "" if "security" in operation else "<p>Needs an access token.</p>"
    return (
        f"<details><summary><b>{verb.upper()}</b> <code>{escape(path)}</code> {escape(operation['summary'])}</summary>"
        f"<p>{escape(operation['description'])}</p>{who}<ul>{shown}</ul>{asked}{example}"
        f"<p>Answer: {_kind(answer)}</p></details>"
    )
