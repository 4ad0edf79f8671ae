"""What makes a Python program of others read STAC's schemas from a folder, SCHEMAS, and reach nothing but this machine.

It is put as `sitecustomize.py` into a folder on the program's PYTHONPATH.
"""

OFFLINE = """
import os, pathlib, socket, urllib.parse, urllib.request, io, email.message
FOLDER = pathlib.Path(os.environ["SCHEMAS"])
resolve = socket.getaddrinfo
def near(host, *more, **named):
    if host not in ("127.0.0.1", "localhost", "::1", None):
        raise socket.gaierror(f"{host} is not on this machine")
    return resolve(host, *more, **named)
socket.getaddrinfo = near
def schema(url):
    parts = urllib.parse.urlsplit(url)
    place = (FOLDER / (parts.hostname or "-") / parts.path.strip("/")).resolve()
    return place.read_bytes() if place.is_relative_to(FOLDER) and place.is_file() else None
opened = urllib.request.OpenerDirector.open
def urlopen(self, asked, *more, **named):
    url = asked if isinstance(asked, str) else asked.full_url
    found = schema(url)
    if found is None:
        return opened(self, asked, *more, **named)
    head = email.message.Message()
    head["Content-Type"] = "application/json"
    return urllib.request.addinfourl(io.BytesIO(found), head, url, 200)
urllib.request.OpenerDirector.open = urlopen
try:
    import requests.adapters, requests.models, urllib3
except ImportError:
    pass
else:
    sent, pooled = requests.adapters.HTTPAdapter.send, urllib3.PoolManager.urlopen
    def send(self, request, **named):
        found = schema(request.url)
        if found is None:
            return sent(self, request, **named)
        answer = requests.models.Response()
        answer.status_code, answer._content, answer.url, answer.request = 200, found, request.url, request
        answer.headers["Content-Type"] = "application/json"
        return answer
    def fetch(self, method, url, redirect=True, **named):
        found = schema(url)
        if found is None:
            return pooled(self, method, url, redirect, **named)
        held = {"preload_content": named.get("preload_content", True)}
        return urllib3.HTTPResponse(io.BytesIO(found), {"Content-Type": "application/json"}, 200, **held)
    requests.adapters.HTTPAdapter.send, urllib3.PoolManager.urlopen = send, fetch
"""
