"""A stand-in for the Hugging Face Hub: repositories to read, with the CDN on an origin of its own. See README.md."""

import hashlib
import hmac
import json
import re
import threading
import urllib.parse

import _server
from _content import Bytes
from _repository import Repository, iso_date, read_safetensors_header, scan_root
from _server import Answer, Refused

SECRET = b"the CDN checks what the hub has signed"
PATHS_AT_ONCE = 1000
QUOTA = 3000
INFO_NAMES = {
    "model": set("author baseModels cardData childrenModelCount config createdAt disabled downloads downloadsAllTime evalResults"
                 " gated gguf inference inferenceProviderMapping lastModified library_name likes mask_token model-index"
                 " pipeline_tag private resourceGroup safetensors sha siblings spaces tags transformersInfo trendingScore"
                 " usedStorage widgetData xetEnabled gitalyUid".split()),
    "dataset": set("author cardData citation createdAt description disabled downloads downloadsAllTime gated lastModified likes"
                   " mainSize paperswithcode_id private resourceGroup sha siblings tags trendingScore usedStorage xetEnabled"
                   " gitalyUid".split()),
    "space": set("author cardData createdAt datasets disabled lastModified likes models private region resourceGroup runtime"
                 " sdk sha siblings subdomain tags trendingScore usedStorage xetEnabled gitalyUid".split()),
}
TOKENS = {
    "hf_good": {"name": "good", "user": "alice", "orgs": ["acme"], "role": "write", "private": True, "gated": True},
    "hf_read": {"name": "read", "user": "bob", "orgs": [], "role": "read", "private": False, "gated": False},
}
SETTINGS = {
    "page_size": 1000,           # items in a page of a tree or of a history
    "page_size_expanded": 50,    # the same with expand=true
    "cdn": True,                 # LFS files are redirected to the CDN; else the hub serves them itself
    "resolve_cache": False,      # other files are redirected to /api/resolve-cache/ of the hub
}
REVISION = r"(?P<revision>refs/(?:pr|convert|heads|tags)/[^/]+|[^/]+)"
API_ROUTES = [(re.compile(pattern), methods, name) for pattern, methods, name in (
    ("", "GET", "info"),
    (f"/revision/{REVISION}", "GET", "info"),
    (f"/tree/{REVISION}(?:/(?P<path>.*))?", "GET", "tree"),
    (f"/paths-info/{REVISION}", "POST", "paths_info"),
    ("/refs", "GET", "refs"),
    (f"/commits/{REVISION}", "GET", "commits"),
    ("/auth-check(?P<write>/write)?", "GET", "auth_check"),
    ("/safetensors-metadata/(?P<path>.+)", "GET", "safetensors_metadata"),
)]
WEB_ROUTES = [(re.compile(pattern), "GET", name) for pattern, name in (
    (f"/resolve/{REVISION}/(?P<path>.+)", "resolve"),
    (f"/raw/{REVISION}/(?P<path>.+)", "raw"),
)]


def unquote(text):
    return urllib.parse.unquote(text, errors="surrogateescape")


def quote_all(text):
    return urllib.parse.quote(text, safe="")


def failure(status, message, code=None, plain=False):
    """An error as the Hub sends it."""
    if plain:
        answer = Answer(status, Bytes(message.encode()), "text/plain; charset=utf-8")
    else:
        answer = Answer.of_json({"error": message}, status)
    if code:
        answer.set("X-Error-Code", code)
    answer.set("X-Error-Message", message)
    return answer


class Hub(_server.Site):
    more_effects = ("names", "page_loop")

    def __init__(self):
        self._lock = threading.RLock()
        self._repositories = {}
        self._tokens = {token: dict(facts) for token, facts in TOKENS.items()}
        self._settings = dict(SETTINGS)
        self._asked = 0

    # Content.

    def add(self, repository):
        with self._lock:
            self._repositories[repository.type, repository.id.lower()] = repository

    def _find(self, kind, identity):
        """The repository, also under an old or a differently cased name."""
        with self._lock:
            found = self._repositories.get((kind, identity.lower()))
            if found:
                return found
            for repository in self._repositories.values():
                if repository.type == kind and identity in repository.renamed_from:
                    return repository
        return None

    # Whatever is asked on either origin.

    def answer(self, request):
        if request.origin == "cdn":
            return self._cdn(request)
        self._check_form(request)
        return self._route(request, self._check_token(request))

    def finish(self, request, answer):
        if request.origin == "cdn":
            return
        with self._lock:
            self._asked += 1
            left = QUOTA - self._asked % QUOTA  # never 0: that is for a fault to say
        kind = "resolvers" if "/resolve/" in request.path else "api"
        answer.offer("RateLimit", f'"{kind}";r={left};t=300')
        answer.offer("RateLimit-Policy", f'"fixed window";"{kind}";q={QUOTA};w=300')
        answer.offer("X-Request-Id", f"Root=1-simulator-{request.record['number']}")

    def _breach(self, request, rule, text):
        self.simulator.journal.breach(request, rule, text)

    def _check_form(self, request):
        if not request.headers.get("User-Agent"):
            self._breach(request, "user-agent", "no User-Agent header")
        if re.search(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})", request.path):
            self._breach(request, "encoding", "a character of the path is not percent-encoded")
        host = request.headers.get("Host")
        if "Authorization" in request.headers and self.simulator.url("hub").partition("://")[2] != host:
            self._breach(request, "token", f"a token was sent to {host}")

    def _check_token(self, request):
        """The facts of the token that was sent, None for nobody."""
        authorization = request.headers.get("Authorization")
        if authorization is None:
            return None
        scheme, _, token = authorization.partition(" ")
        if scheme != "Bearer":
            self._breach(request, "authorization", "Authorization is not a bearer token")
        with self._lock:
            facts = self._tokens.get(token)
        if facts is None:
            raise Refused(failure(401, "Invalid credentials in Authorization header"))
        return facts

    def shown_token(self, authorization):
        with self._lock:
            facts = self._tokens.get(authorization.partition(" ")[2])
        return facts["name"] if facts else "unknown"

    # Routes.

    def _route(self, request, token):
        path = request.path
        if path == "/api/whoami-v2":
            self._check_method(request, "GET")
            return self._whoami(token)
        if path == "/api/agent-harnesses":  # the list of callers that the `hf` program asks for once a day
            self._check_method(request, "GET")
            return Answer.of_json({"standardEnvVars": [], "harnesses": {}})
        match = re.fullmatch(r"/api/resolve-cache/(model|dataset|space)s/([^/]+/[^/]+)/([0-9a-f]{40})/(.+)", path)
        if match:
            self._check_method(request, "GET")
            return self._resolve_cache(request, token, *match.groups())
        match = re.match(r"/api/(model|dataset|space)s/", path)
        kind, rest, routes = (match.group(1), path[match.end():], API_ROUTES) if match else self._split_web_path(path)
        name, methods, identity, parts = self._find_route(kind, rest, routes)
        if name is None:
            self._breach(request, "route", "no such route")
            raise Refused(failure(404, "Sorry, we can't find the page you are looking for."))
        self._check_method(request, methods)
        repository = self._open(request, token, kind, identity, plain=routes is WEB_ROUTES)
        return getattr(self, "_" + name)(request, token, repository, parts)

    def _split_web_path(self, path):
        match = re.match(r"/(dataset|space)s/", path)
        return (match.group(1), path[match.end():], WEB_ROUTES) if match else ("model", path[1:], WEB_ROUTES)

    def _find_route(self, kind, rest, routes):
        """Split the rest of a path into a repository (owner/name, or an old bare name) and a route beneath it."""
        candidates = []
        for identity in ("[^/]+/[^/]+", "[^/]+"):
            match = re.match(identity + "(?=/|$)", rest)
            for pattern, methods, name in routes if match else ():
                route = pattern.fullmatch(rest[match.end():])
                if route:
                    candidates.append((name, methods, unquote(match.group()), route.groupdict()))
        for candidate in candidates:
            if self._find(kind, candidate[2]):
                return candidate
        return candidates[0] if candidates else (None, None, None, None)

    def _check_method(self, request, wanted):
        if request.method == wanted or (request.method == "HEAD" and wanted == "GET"):
            return
        self._breach(request, "method", f"{request.method} where only {wanted} is known")
        answer = failure(405, f"Method {request.method} is not allowed here")
        answer.set("Allow", wanted)
        raise Refused(answer)

    def _check_query(self, request, known, truths=()):
        for key, value in request.query:
            if key not in known:
                self._breach(request, "query", f"no such query parameter: {key}")
            elif key in truths and value not in ("true", "false", "1", "0"):
                self._breach(request, "query", f"{key} is {value}, neither true nor false")

    def _open(self, request, token, kind, identity, plain=False):
        """The repository, if this token may know of it; a refusal as the Hub words it otherwise."""
        repository = self._find(kind, identity)
        if repository is None or (repository.private and not self._may(token, "private", repository)):
            if token is None:
                raise Refused(failure(401, "Invalid username or password.", plain=plain))
            raise Refused(failure(404, "Repository not found", "RepoNotFound", plain))
        if repository.disabled:
            raise Refused(failure(403, "Access to this resource is disabled."))
        if repository.id != identity:
            raise Refused(self._moved(request, identity, repository.id))
        return repository

    def _moved(self, request, old, new):
        target = request.target.replace(urllib.parse.quote(old), urllib.parse.quote(new), 1)
        answer = Answer(307, Bytes(f"Temporary Redirect. Redirecting to {target}".encode()), "text/plain; charset=utf-8")
        answer.set("Location", target)
        return answer

    def _may(self, token, what, repository):
        allowed = token[what] if token else False
        return allowed if isinstance(allowed, bool) else repository.id in allowed

    def _check_gate(self, token, repository):
        if not repository.gated or self._may(token, "gated", repository):
            return
        if token is None:
            raise Refused(failure(401, f"Access to {repository.type} {repository.id} is restricted. You must have access to it"
                                  " and be authenticated to access it. Please log in.", "GatedRepo", plain=True))
        raise Refused(failure(403, f"Access to {repository.type} {repository.id} is restricted and you are not in the authorized"
                              f" list. Visit {self.simulator.url('hub')}/{repository.id} to ask for access.", "GatedRepo",
                              plain=True))

    def _commit(self, request, repository, parts, plain=False):
        """The commit that the revision in the path stands for."""
        written = parts.get("revision") or "main"
        if "/" in written:
            self._breach(request, "encoding", "the revision holds a / that is not percent-encoded")
        with self._lock:
            commit = repository.resolve(unquote(written))
        if commit is None:
            raise Refused(failure(404, f"Invalid rev id: {unquote(written)}", "RevisionNotFound", plain))
        return commit

    # API.

    def _whoami(self, token):
        if token is None:
            raise Refused(failure(401, "Invalid username or password."))
        return Answer.of_json({
            "type": "user", "id": hashlib.sha1(token["user"].encode()).hexdigest()[:24], "name": token["user"],
            "fullname": token["user"].title(), "email": f"{token['user']}@example.org", "emailVerified": True, "canPay": False,
            "isPro": False, "periodEnd": None, "avatarUrl": "/avatars/none.svg",
            "orgs": [{"type": "org", "id": hashlib.sha1(org.encode()).hexdigest()[:24], "name": org, "fullname": org.title()}
                     for org in token["orgs"]],
            "auth": {"type": "access_token", "accessToken": {"displayName": token["name"], "role": token["role"],
                                                             "createdAt": iso_date(1704067200)}},
        })

    def _info(self, request, token, repository, parts):
        self._check_query(request, {"blobs", "securityStatus", "expand", "expand[]"}, {"blobs", "securityStatus"})
        commit = self._commit(request, repository, parts)
        wanted = request.all("expand") + request.all("expand[]")
        blobs = request.get("blobs") in ("true", "1")
        unknown = set(wanted) - INFO_NAMES[repository.type]
        if unknown or (wanted and request.get("blobs", request.get("securityStatus")) is not None):
            raise Refused(failure(400, f"Invalid expand: {', '.join(sorted(unknown)) or 'not together with other parameters'}"))
        info = repository.info(commit, blobs)
        if wanted:
            info = {key: value for key, value in info.items() if key in wanted or key in ("_id", "id")}
        if "siblings" in info:
            info["siblings"] += [{"rfilename": name} for name in self._spoiled_names(request, repository)]
        return Answer.of_json(info)

    def _spoiled_names(self, request, repository):
        """The names that a fault adds to a listing; from then on their content can be fetched too."""
        names = request.effects.get("names", [])
        with self._lock:
            for name in names:
                if repository.extra_file(name) is None:
                    repository.extra.append({"path": name, "listed": False})
        return names

    def _tree(self, request, token, repository, parts):
        self._check_query(request, {"recursive", "expand", "limit", "cursor"}, {"recursive", "expand"})
        commit = self._commit(request, repository, parts)
        folder = unquote(parts["path"] or "")
        expand = request.get("expand") in ("true", "1")
        paths = repository.paths(commit, folder, request.get("recursive") in ("true", "1"))
        if paths is None:
            raise Refused(failure(404, f"{folder} does not exist on {unquote(parts['revision'])}", "EntryNotFound"))
        size = self._settings["page_size_expanded" if expand else "page_size"]
        first, page, link = self._page(request, paths, size)
        items = [repository.entry(commit, path, expand) for path in page]
        if first == 0 and not folder:
            items += repository.extra_entries()
        items += [{"type": "file", "oid": "0" * 40, "size": 8, "path": name} for name in self._spoiled_names(request, repository)]
        answer = Answer.of_json(items)
        if link:
            answer.set("Link", link)
        return answer

    def _page(self, request, items, size):
        """The part of a list that this request asks for: (index of its first, the items, the Link header or None)."""
        try:
            size = max(1, min(int(request.get("limit", size)), size))
            first = int(request.get("cursor", "0"))
        except ValueError:
            raise Refused(failure(400, "Invalid cursor or limit")) from None
        page = items[first:first + size]
        if request.effects.get("page_loop"):
            target = request.target
        elif first + size < len(items):
            query = [pair for pair in request.query if pair[0] != "cursor"] + [("cursor", str(first + size))]
            target = f"{request.path}?{urllib.parse.urlencode(query)}"
        else:
            return first, page, None
        return first, page, f'<{self.simulator.url("hub")}{target}>; rel="next"'

    def _paths_info(self, request, token, repository, parts):
        self._check_query(request, set())
        commit = self._commit(request, repository, parts)
        paths, expand = self._read_paths(request)
        items = [repository.entry(commit, path, expand) for path in paths if path in commit.files or path in commit.folders]
        items += [item for item in repository.extra_entries() if item.get("path") in paths]
        return Answer.of_json(items)

    def _read_paths(self, request):
        """The paths and the expand of a form or of JSON."""
        kind = (request.headers.get("Content-Type") or "").partition(";")[0].strip()
        try:
            if kind == "application/json":
                body = request.json()
                paths, expand = body["paths"], body.get("expand", False)
            elif kind == "application/x-www-form-urlencoded":
                form = urllib.parse.parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)
                paths, expand = form["paths"], form.get("expand", ["false"])[0] == "true"
            else:
                raise ValueError(f"cannot read {kind or 'a body without a type'}")
            if not all(isinstance(path, str) for path in paths):
                raise ValueError("paths are not text")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            self._breach(request, "body", f"paths-info: {type(error).__name__} {error}")
            raise Refused(failure(400, "Invalid body: paths is required")) from None
        if len(paths) > PATHS_AT_ONCE:
            raise Refused(failure(413, "too many parameters"))
        return paths, expand

    def _refs(self, request, token, repository, parts):
        self._check_query(request, {"include_prs"}, {"include_prs"})
        with self._lock:
            return Answer.of_json(repository.refs(request.get("include_prs") in ("1", "true")))

    def _commits(self, request, token, repository, parts):
        self._check_query(request, {"expand", "expand[]", "limit", "cursor", "p"})
        history = list(self._commit(request, repository, parts).history())
        formatted = "formatted" in request.all("expand") + request.all("expand[]")
        _, page, link = self._page(request, history, self._settings["page_size"])
        items = []
        for commit in page:
            item = {"id": commit.id, "title": commit.title, "message": commit.message, "date": iso_date(commit.date),
                    "authors": [{"user": commit.author, "avatar": "/avatars/none.svg"}]}
            if formatted:
                item["formatted"] = {"title": commit.title, "message": commit.message}
            items.append(item)
        answer = Answer.of_json(items)
        answer.set("X-Total-Count", len(history))
        if link:
            answer.set("Link", link)
        return answer

    def _auth_check(self, request, token, repository, parts):
        self._check_query(request, set())
        self._check_gate(token, repository)
        if parts["write"] and (token is None or token["role"] != "write"):
            raise Refused(failure(403, "You do not have write access to this repository"))
        return Answer.of_json({})

    def _safetensors_metadata(self, request, token, repository, parts):
        self._check_query(request, set())
        self._check_gate(token, repository)
        commit = repository.branches["main"]
        path = unquote(parts["path"])
        if repository.type != "model" or path not in commit.files:
            raise Refused(failure(404, "Entry not found", "EntryNotFound"))
        index = json.loads(commit.files[path].content.bytes())
        shards = sorted(set(index.pop("weight_map").values()))
        headers = {shard: read_safetensors_header(commit.files[shard].content) for shard in shards}
        return Answer.of_json({"index": index, "headers": headers})

    # Files.

    def _resolve(self, request, token, repository, parts):
        self._check_query(request, {"download", "noContentDisposition"})
        if "%2f" in parts["path"].lower():
            self._breach(request, "encoding", "a / of the file's path is percent-encoded")
        self._check_gate(token, repository)
        commit = self._commit(request, repository, parts, plain=True)
        path = unquote(parts["path"])
        file = self._find_file(commit, repository, path)
        if request.headers.get("If-None-Match", "").removeprefix("W/").strip('"') == file.etag:
            answer = Answer(304)
        elif file.lfs and self._settings["cdn"]:
            answer = self._to_cdn(file, path)
        elif not file.lfs and self._settings["resolve_cache"]:
            answer = self._to_resolve_cache(request, repository, commit, file, path)
        else:
            answer = self._whole(repository, file, path)
        return self._about(answer, commit, file)

    def _find_file(self, commit, repository, path):
        file = commit.files.get(path) or repository.extra_file(path)
        if file is None:
            answer = failure(404, "Entry not found", "EntryNotFound", plain=True)
            answer.set("X-Repo-Commit", commit.id)
            raise Refused(answer)
        return file

    def _about(self, answer, commit, file):
        """The headers that every answer about a file carries."""
        answer.set("X-Repo-Commit", commit.id)
        answer.set("Accept-Ranges", "bytes")
        if file.lfs:
            answer.set("X-Linked-Size", file.content.size)
            answer.set("X-Linked-Etag", f'"{file.etag}"')
        if answer.status not in (302, 307):
            answer.set("ETag", f'"{file.etag}"')
        return answer

    def _disposition(self, path):
        name = path.rsplit("/", 1)[-1]
        plain = re.sub(r'[^ -~]|["\\]', "_", name)
        return f"inline; filename*=UTF-8''{quote_all(name)}; filename=\"{plain}\";"

    def _whole(self, repository, file, path):
        label = (f"{repository.type}s/{repository.id}/{path}", file.etag)
        answer = Answer(200, file.content, "application/octet-stream" if file.lfs else "text/plain; charset=utf-8", True, label)
        answer.set("Content-Disposition", self._disposition(path))
        return answer

    def _to_cdn(self, file, path):
        target = f"/repos/{file.etag[:2]}/{file.etag[2:4]}/{file.etag}"
        query = urllib.parse.urlencode({"response-content-disposition": self._disposition(path), "X-Amz-Expires": 3600,
                                        "X-Amz-Signature": self._sign(target)})
        address = f"{self.simulator.url('cdn')}{target}?{query}"
        answer = Answer(302, Bytes(f"Found. Redirecting to {address}".encode()), "text/plain; charset=utf-8")
        answer.set("Location", address)
        return answer

    def _sign(self, target):
        return hmac.new(SECRET, target.encode(), "sha256").hexdigest()

    def _to_resolve_cache(self, request, repository, commit, file, path):
        query = f"{quote_all(request.path)}=&etag={quote_all(chr(34) + file.etag + chr(34))}"
        target = f"/api/resolve-cache/{repository.type}s/{repository.id}/{commit.id}/{urllib.parse.quote(path)}?{query}"
        answer = Answer(307, Bytes(f"Temporary Redirect. Redirecting to {target}".encode()), "text/plain; charset=utf-8")
        answer.set("Location", target)
        return answer

    def _resolve_cache(self, request, token, kind, identity, commit_id, written_path):
        repository = self._open(request, token, kind, unquote(identity), plain=True)
        self._check_gate(token, repository)
        commit = self._commit(request, repository, {"revision": commit_id}, plain=True)
        file = self._find_file(commit, repository, unquote(written_path))
        if file.lfs or request.get("etag") != f'"{file.etag}"':
            raise Refused(failure(400, "The query does not belong to this file"))
        return self._about(self._whole(repository, file, unquote(written_path)), commit, file)

    def _raw(self, request, token, repository, parts):
        """A file as git keeps it: of an LFS file the pointer."""
        self._check_gate(token, repository)
        commit = self._commit(request, repository, parts, plain=True)
        file = self._find_file(commit, repository, unquote(parts["path"]))
        answer = Answer(200, file.pointer or file.content, "text/plain; charset=utf-8", ranged=True)
        answer.set("ETag", f'"{file.oid}"')
        answer.set("X-Repo-Commit", commit.id)
        return answer

    def _cdn(self, request):
        """The CDN knows nothing of users: a signed address is all it takes, and a token is one too many."""
        if "Authorization" in request.headers:
            self._breach(request, "token", "a token was sent to the CDN")
            return self._cdn_failure(400, "InvalidArgument", "Only one auth mechanism allowed")
        if request.method not in ("GET", "HEAD"):
            self._breach(request, "method", f"{request.method} at the CDN")
            return self._cdn_failure(405, "MethodNotAllowed", "The specified method is not allowed against this resource")
        if not hmac.compare_digest(request.get("X-Amz-Signature", ""), self._sign(request.path)):
            return self._cdn_failure(403, "AccessDenied", "Access Denied")
        found = self._find_stored(request.path.rsplit("/", 1)[-1])
        if found is None:
            return self._cdn_failure(404, "NoSuchKey", "The specified key does not exist")
        label, file = found
        answer = Answer(200, file.content, ranged=True, label=label)
        answer.set("ETag", f'"{hashlib.md5(file.etag.encode()).hexdigest()}"')
        answer.set("Content-Disposition", request.get("response-content-disposition", "inline"))
        return answer

    def _cdn_failure(self, status, code, message):
        text = f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
        return Answer(status, Bytes(text.encode()), "application/xml")

    def _find_stored(self, sha256):
        with self._lock:
            for repository in self._repositories.values():
                for commit in reversed(repository.commits):
                    for path, file in commit.files.items():
                        if file.lfs and file.etag == sha256:
                            return (f"{repository.type}s/{repository.id}/{path}", sha256), file
        return None

    # /_simulator/

    def control(self, request, what):
        route = (request.method, what)
        if route == ("PUT", "repositories"):
            descriptions = request.json()
            made = [Repository(one) for one in (descriptions if isinstance(descriptions, list) else [descriptions])]
            for repository in made:
                self.add(repository)
            return Answer.of_json([repository.summary() for repository in made])
        with self._lock:
            if route == ("GET", "repositories"):
                return Answer.of_json([repository.summary() for repository in self._repositories.values()])
            if route == ("DELETE", "repositories"):
                self._repositories.clear()
                return Answer.of_json({})
            if route == ("PUT", "tokens"):
                self._tokens = self._read_tokens(request.json())
                return Answer.of_json(self._tokens)
            if route == ("PUT", "settings"):
                return Answer.of_json(self._change_settings(request.json()))
            if route in (("POST", "commit"), ("POST", "move")):
                return Answer.of_json(self._change_branch(what, request.json()))
        return None

    def _read_tokens(self, tokens):
        empty = {"orgs": [], "role": "read", "private": False, "gated": False}
        return {token: {**empty, "name": token, "user": token, **facts} for token, facts in tokens.items()}

    def _change_settings(self, settings):
        unknown = set(settings) - set(SETTINGS)
        if unknown:
            raise ValueError(f"no setting {', '.join(sorted(unknown))}")
        self._settings = {**SETTINGS, **settings}
        return self._settings

    def _change_branch(self, what, change):
        """A push while somebody downloads: a new commit, or a branch set to another one."""
        repository = self._repositories[change.pop("type", "model"), change.pop("id").lower()]
        if what == "commit":
            commit = repository.commit(change)
        else:
            commit = repository.branches[change.get("branch", "main")] = repository.find_commit(change["commit"])
        return {"sha": commit.id}


def main():
    options = _server.arguments(__doc__).parse_args()
    hub = Hub()
    for repository in scan_root(options.root) if options.root else ():
        hub.add(repository)
    simulator = _server.Simulator(hub, _server.tls_from(options), options.log)
    simulator.listen("hub", options.port)
    simulator.listen("cdn", host="localhost")  # another host name: some clients look at nothing else when they keep a token
    simulator.run()


if __name__ == "__main__":
    main()
