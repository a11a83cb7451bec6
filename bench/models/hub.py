"""The model hub and its cache: which files of a repository are loaded, whether they are here, fetching them.

Only what a model loads is fetched: of each part of a pipeline the files of one precision, and no part that the
model drops (safety checkers, the text encoder that a later stage of a cascade shares with the first).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bench.errors import InputError

Say = Callable[[str], None]

CONNECT = 5.0
"""Seconds that the hub may take to accept a connection."""

_LOCAL_ONLY: ContextVar[bool] = ContextVar("local_only", default=False)

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")

_WEIGHT_ENDINGS = (
    ".safetensors", ".bin", ".ckpt", ".pt", ".pth", ".msgpack", ".onnx", ".onnx_data", ".h5", ".xml", ".gguf",
    ".pb", ".flashpack",
)  # fmt: skip
_STEMS = {
    ".safetensors": ("diffusion_pytorch_model", "model"),
    ".bin": ("diffusion_pytorch_model", "pytorch_model"),
}
_SHARD = r"(-\d{5}-of-\d{5})"


def files_of_pipeline(
    files: Iterable[str], index: Mapping[str, Any], variant: str | None, drop: Iterable[str]
) -> list[str]:
    """The files of a pipeline repository that are loaded.

    Parameters
    ----------
    files
        Every path of the repository.
    index
        Its `model_index.json`.
    variant
        The precision asked for, `fp16`; a part without it is loaded from its plain files.
    drop
        Parts that are never loaded.
    """
    files, dropped = list(files), set(drop)
    chosen = ["model_index.json"]
    for part, kind in index.items():
        if part.startswith("_") or part in dropped or not isinstance(kind, list) or kind[1] is None:
            continue
        inside = [path for path in files if path.startswith(f"{part}/") and path.count("/") == 1]
        chosen += [path for path in inside if not path.endswith(_WEIGHT_ENDINGS)]
        chosen += weight_files(inside, variant)
    return sorted(set(chosen) & set(files))


def weight_files(paths: Iterable[str], variant: str | None) -> list[str]:
    """The weights that diffusers loads of one part's files: safetensors before pickles, the variant before plain."""
    paths = list(paths)
    for ending, stems in _STEMS.items():
        for suffix in ([f".{variant}"] if variant else []) + [""]:
            middle = re.escape(suffix)
            names = re.compile(
                rf"(.*/)?({'|'.join(stems)})({middle}{_SHARD}|{_SHARD}{middle}|{middle}){re.escape(ending)}"
            )
            if found := [path for path in paths if names.fullmatch(path)]:
                whole = [path for path in found if not re.search(_SHARD, path)]
                return whole or found
    return []


def cached_file(repository: str, name: str, revision: str) -> Path | None:
    """A file of a hub repository in the cache of this machine; None: it is not there."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(repository, name, revision=revision)
    return Path(path) if isinstance(path, str) else None


@contextmanager
def local_only() -> Iterator[None]:
    """Nothing is asked of the network inside: what is not here raises InputError."""
    token = _LOCAL_ONLY.set(True)
    try:
        yield
    finally:
        _LOCAL_ONLY.reset(token)


def is_local_only() -> bool:
    return _LOCAL_ONLY.get()


def fetch_file(model: str, repository: str, name: str, revision: str, subfolder: str = "") -> Path:
    """One file of a repository, from the cache or fetched.

    Raises InputError naming the model: gated, absent, no network.
    """
    from huggingface_hub import hf_hub_download

    path = f"{subfolder}/{name}" if subfolder else name
    if here := cached_file(repository, path, revision):
        return here
    if _LOCAL_ONLY.get():
        raise not_here(model, repository, revision, path)
    _check_reachable(model, repository, revision)
    try:
        return Path(hf_hub_download(repository, path, revision=revision))
    except _errors() as error:
        raise problem(model, repository, revision, error, path) from None


def fetch_pipeline(
    model: str,
    repository: str,
    revision: str,
    variant: str | None,
    drop: Iterable[str],
    config_only: Iterable[str] = (),
    say: Say | None = None,
) -> Path:
    """The folder of a pipeline repository in the cache, with every file that is loaded, fetched where it is not.

    Parameters
    ----------
    variant
        The precision asked for; see `files_of_pipeline`.
    drop
        Parts of which nothing is loaded.
    config_only
        Parts of which only the configuration is read.
    say
        Given a line with the sum of what will be fetched, before it is.

    Raises
    ------
    InputError
        The repository is gated, absent, holds no pipeline, or cannot be reached.
    """
    from huggingface_hub import snapshot_download

    index_file = fetch_file(model, repository, "model_index.json", revision)
    index = json.loads(index_file.read_text(encoding="utf-8"))
    only = tuple(config_only)
    try:
        files = _listing(repository, revision)
        wanted = files_of_pipeline(files, index, variant, drop)
        wanted = [p for p in wanted if p.partition("/")[0] not in only or not p.endswith(_WEIGHT_ENDINGS)]
        absent = [path for path in wanted if cached_file(repository, path, revision) is None]
        if say and absent:
            say(f"{repository}: {len(absent)} files, {size_text(sum(files[path] for path in absent))}")
        snapshot_download(repository, revision=revision, allow_patterns=wanted)
    except _errors() as error:
        raise problem(model, repository, revision, error) from None
    return index_file.parent


def fetch_configs(model: str, repository: str, revision: str = "main") -> Path:
    """The configurations and tokenizers of a pipeline repository, without weights."""
    if here := cached_file(repository, "model_index.json", revision):
        folder = here.parent
        index = json.loads(here.read_text(encoding="utf-8"))
        parts = [p for p, k in index.items() if not p.startswith("_") and isinstance(k, list) and k[1]]
        if all(
            (folder / part).is_dir() for part in parts if part not in ("safety_checker", "feature_extractor")
        ):
            return folder
    if _LOCAL_ONLY.get():
        raise not_here(model, repository, revision, "model_index.json")
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*/*.json", "*/*.txt", "*/*.model", "*/*.jinja"]
    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=patterns))
    except _errors() as error:
        raise problem(model, repository, revision, error) from None


def _check_reachable(model: str, repository: str, revision: str) -> None:
    """One attempt to connect, before the hub's client makes many: without a network that takes half a minute.

    Behind a proxy nothing is tried. Raises InputError.
    """
    import socket
    import urllib.request
    from urllib.parse import urlsplit

    import huggingface_hub.constants as constants

    where = urlsplit(constants.ENDPOINT)
    if constants.HF_HUB_OFFLINE or where.hostname is None or urllib.request.getproxies().get(where.scheme):
        return
    try:
        port = where.port or (443 if where.scheme == "https" else 80)
        socket.create_connection((where.hostname, port), timeout=CONNECT).close()
    except OSError as error:
        raise problem(model, repository, revision, error) from None


def _listing(repository: str, revision: str) -> dict[str, int]:
    """Path → bytes of every file of a repository, from the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import RepoFile

    entries = HfApi().list_repo_tree(repository, recursive=True, revision=revision)
    return {entry.path: entry.size for entry in entries if isinstance(entry, RepoFile)}


def not_here(model: str, repository: str, revision: str, path: str) -> InputError:
    return InputError(
        f"model '{model}': weights of {repository}@{revision} are not on this machine ({path} is missing): "
        "`bench fetch`"
    )


def size_text(count: float) -> str:
    """Bytes as a person reads them."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count:.0f} bytes"


def _errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises where a file cannot be had."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    return (OSError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled, *_network_errors())


def _network_errors() -> tuple[type[Exception], ...]:
    found: list[type[Exception]] = []
    for name in ("httpx", "httpx2"):
        try:
            found.append(__import__(name).TransportError)
        except ImportError:
            continue
    return tuple(found)


def licence_page(repository: str) -> str:
    """The page on which a gated repository's licence is accepted."""
    import huggingface_hub.constants as constants

    return f"{constants.ENDPOINT}/{repository}"


def gated_cure(repository: str) -> str:
    return f"accept the licence at {licence_page(repository)}, then `hf auth login`, or set HF_TOKEN"


def problem(model: str, repository: str, revision: str, error: Exception, name: str = "") -> InputError:
    """What the hub's client could not do, in one line with the cure."""
    import huggingface_hub.constants as constants
    from huggingface_hub import errors

    where = f"model '{model}': {repository}"
    chain = _chain(error)
    if any(isinstance(e, errors.GatedRepoError) for e in chain):
        return InputError(f"{where} is gated: {gated_cure(repository)}")
    if any(isinstance(e, errors.RepositoryNotFoundError) for e in chain):
        return InputError(
            f"{where} is not on {constants.ENDPOINT}, or it is private: check the spelling, or `hf auth login`"
        )
    if any(isinstance(e, errors.RevisionNotFoundError) for e in chain):
        return InputError(f"{where} has no revision '{revision}': a commit, a branch or a tag of it")
    if any(isinstance(e, errors.RemoteEntryNotFoundError) for e in chain):
        return InputError(f"{where} has no file '{name}' at revision '{revision}'")
    if constants.HF_HUB_OFFLINE or any(isinstance(e, errors.OfflineModeIsEnabled) for e in chain):
        return InputError(
            f"{where}@{revision} is not on this machine, and HF_HUB_OFFLINE is set: run `bench fetch` where "
            "there is a network, with HF_HUB_OFFLINE unset, or name a local folder"
        )
    if isinstance(error, errors.HFValidationError):
        return InputError(f"{where} is not a repository of the hub: write 'owner/name', or './folder'")
    reason = (str(chain[-1]).strip().splitlines() or [type(chain[-1]).__name__])[0][:200]
    return InputError(
        f"{where}@{revision} is not on this machine and {constants.ENDPOINT} could not be reached ({reason}): "
        "run `bench fetch` where there is a network, or name a local folder"
    )


def _chain(error: BaseException) -> list[BaseException]:
    """The error and what caused it."""
    found: list[BaseException] = []
    at: BaseException | None = error
    while at is not None and at not in found:
        found.append(at)
        at = at.__cause__ or at.__context__
    return found
