"""Pretended GPUs for machines without one: tensors that say they are on `cuda` and compute on the CPU.

Inside `pretended()` real numbers come out of code that names `cuda` as its device, and the faults that only a GPU
would show are found:

- an operation over tensors of two devices raises, as CUDA does, and so does `numpy()` of a tensor on a device;
- a tensor used on one stream that has not waited for the stream that made it raises;
- a copy to the host that is not waited for arrives only when its stream, or an event recorded after it there, is
  waited for: who reads before that reads what was in the memory;
- every place where the host waits for the device (`item()`, `nonzero`, a blocking copy) is written down with the
  line that caused it.

There are two of them, cuda:0 and cuda:1. They know nothing of memory or speed.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal", "_unique2", "unique_dim"}
"""Operations whose answer, or its shape, the host must have."""
WHOLE = {"quantile", "pad_sequence"}
"""Functions whose C++ side makes further tensors where it believes the arguments are: on the CPU."""
COUNT = 2


class Stream:
    """Its clock counts operations; it knows up to when it has waited for others, and what it still has to copy."""

    def __init__(self, device: Any = None) -> None:
        self.index = _index(device)
        self.now = 0
        self.waited: dict[Stream, int] = {}
        self.coming: list[Callable[[], object]] = []
        _all.append(self)

    def wait_stream(self, other: Stream) -> None:
        self.waited[other] = other.now

    def synchronize(self) -> None:
        self.arrive(len(self.coming))

    def arrive(self, count: int) -> None:
        for copy in self.coming[:count]:
            copy()
        del self.coming[:count]

    def is_capturing(self) -> bool:
        return False

    def __deepcopy__(self, _: Any) -> Stream:
        return self


class Event:
    """Waits for the copies that its stream had been given when it was recorded."""

    def record(self, stream: Stream | None = None) -> None:
        self.stream = stream or _gpus.streams[_gpus.current]
        self.last = self.stream.coming[-1] if self.stream.coming else None

    def synchronize(self) -> None:
        if self.last in self.stream.coming:
            self.stream.arrive(self.stream.coming.index(self.last) + 1)


@dataclass
class Gpus:
    """What happened on the pretended GPUs, and their state."""

    waits: list[str] = field(default_factory=list)
    """`file:line operation`, one each time the host waited."""
    current: int = 0
    streams: dict[int, Stream] = field(default_factory=dict)
    """The current one of each."""

    def select(self, device: Any) -> None:
        self.current = _index(device)

    def stream(self, device: Any = None) -> Stream:
        return self.streams[_index(device)]

    def synchronize(self, device: Any = None) -> None:
        for stream in _all:
            if stream.index == _index(device):
                stream.synchronize()


_gpus = Gpus()
_all: list[Stream] = []


@contextlib.contextmanager
def _on(stream: Stream) -> Iterator[None]:
    before = _gpus.current, _gpus.streams[stream.index]
    _gpus.current, _gpus.streams[stream.index] = stream.index, stream
    try:
        yield
    finally:
        _gpus.current, _gpus.streams[stream.index] = before


def _index(device: Any) -> int:
    if isinstance(device, int):
        return device
    index = None if device is None else torch.device(device).index
    return _gpus.current if index is None else index


def _on_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _note(what: str) -> None:
    """The innermost line that is neither torch's nor this module's."""
    here, library = Path(__file__), str(Path(torch.__file__).parent)
    frames = [f for f in traceback.extract_stack() if Path(f.filename) != here]
    own = [f for f in frames if not f.filename.startswith(library)]
    parts = Path(own[-1].filename).parts[-3:]
    _gpus.waits.append(f"{'/'.join(parts)}:{own[-1].lineno} {what}")


class GpuTensor(torch.Tensor):
    """Holds a CPU tensor, and says that it is on a GPU."""

    held: torch.Tensor
    index: int
    made: tuple[Stream, int]
    """Stream, and its time."""

    @staticmethod
    def __new__(cls, held: torch.Tensor, index: int) -> GpuTensor:
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device="cpu",  # of cuda the C++ side would touch the driver
        )
        stream = _gpus.streams[index]
        made.held, made.index, made.made = held, index, (stream, stream.now)
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return torch.device("cuda", self.index)

    @property
    def is_cuda(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    def tolist(self) -> Any:
        """As on a GPU: a copy to the host, which waits."""
        return self.to("cpu").tolist()

    def record_stream(self, stream: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        self.kept_for = stream

    def __repr__(self, **_: Any) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"GpuTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        flat: list[Any] = []
        tree_map(flat.append, (args, kwargs))
        index = next(x.index for x in flat if isinstance(x, GpuTensor))
        _gpus.streams[index].now += 1
        if name == "copy_":
            _in_order(name, flat, index)
            return _copied(*args, **kwargs)
        _one_device(name, flat, index)
        _in_order(name, flat, index)
        if name in WAITS:
            _wait(name, index)
        out = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
        if func._schema.is_mutable and isinstance(args[0], GpuTensor) and out is args[0].held:
            return args[0]
        return tree_map(lambda x: _wrapped(x, index), out)


def _bare(x: Any) -> Any:
    return x.held if isinstance(x, GpuTensor) else x


def _wrapped(x: Any, index: int) -> Any:
    return GpuTensor(x, index) if isinstance(x, torch.Tensor) and not isinstance(x, GpuTensor) else x


def _wait(what: str, index: int) -> None:
    _note(what)
    _gpus.streams[index].synchronize()


def _copied(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if isinstance(source, GpuTensor) and not isinstance(target, GpuTensor) and non_blocking:
        values = source.held.clone()
        _gpus.streams[source.index].coming.append(lambda: target.copy_(values))
        return target
    _crossing(source, isinstance(target, GpuTensor), non_blocking)
    _bare(target).copy_(_bare(source))
    return target


def _crossing(source: Any, to_gpu: bool, non_blocking: bool) -> None:
    """A copy between host and device waits for all that was launched before it, unless it is told not to."""
    if isinstance(source, GpuTensor) != to_gpu and not non_blocking:
        index = source.index if isinstance(source, GpuTensor) else _gpus.current
        _wait("copy to the device" if to_gpu else "copy from the device", index)


def _one_device(name: str, arguments: list[Any], index: int) -> None:
    """As CUDA: tensors of the CPU may stand beside those of the device only if they are numbers or indices."""
    tensors = [x for x in arguments if isinstance(x, torch.Tensor)]
    if any(isinstance(x, GpuTensor) and x.index != index for x in tensors):
        raise RuntimeError(f"{name}: expected all tensors on one device, but found cuda:0 and cuda:1")
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return
    if torch._C._current_graph_task_id() != -1:  # autograd's C++ side fills gaps with zeros "of the CPU"
        return
    if any(not isinstance(x, GpuTensor) and x.ndim for x in tensors):
        raise RuntimeError(f"{name}: expected all tensors on one device, but found cuda:{index} and cpu")


def _in_order(name: str, arguments: list[Any], index: int) -> None:
    here = _gpus.streams[index]
    for x in arguments:
        if isinstance(x, GpuTensor) and x.made[0] is not here and here.waited.get(x.made[0], -1) < x.made[1]:
            raise RuntimeError(f"{name}: the stream has not waited for the one that made its argument")


class _Places(TorchFunctionMode):
    """Functions that name a device, or move between two."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        if name in ("to", "cuda", "cpu") and isinstance(args[0], torch.Tensor):
            return _moved(func, name, args, kwargs)
        if name == "numpy" and isinstance(args[0], GpuTensor):
            raise TypeError("can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() first")
        if name == "pin_memory":
            return args[0]
        if name in WHOLE:
            given = [x for part in args for x in (part if isinstance(part, (list, tuple)) else [part])]
            made = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
            index = next((x.index for x in given if isinstance(x, GpuTensor)), None)
            return made if index is None else tree_map(lambda x: _wrapped(x, index), made)
        kwargs.pop("pin_memory", None)
        device = None if name == "_parse_to" else kwargs.get("device")
        if _on_gpu(device):
            kwargs["device"] = "cpu"
            if name in ("tensor", "as_tensor", "asarray"):
                _wait("copy to the device", _index(device))
            return _wrapped(_bare(func(*args, **kwargs)), _index(device))
        made = func(*args, **kwargs)
        return _bare(made) if device is not None else made


def _moved(func: Any, name: str, args: Any, kwargs: Any) -> Any:
    """`to`, `cuda` and `cpu`; no gradient goes through a move between the two."""
    tensor, *rest = args
    device = kwargs.pop("device", None) if name == "to" else name
    waits_not = kwargs.pop("non_blocking", False)
    kept = []
    for x in rest:
        if isinstance(x, torch.Tensor):
            device = x.device
            kept.append(x.dtype)
        elif isinstance(x, (str, torch.device)):
            device = x
        elif isinstance(x, torch.dtype):
            kept.append(x)
    to_gpu = isinstance(tensor, GpuTensor) if device is None else _on_gpu(device)
    if to_gpu == isinstance(tensor, GpuTensor) and (
        not to_gpu or device is None or _index(device) == tensor.index
    ):
        return tensor.to(*kept, **kwargs) if kept or kwargs else tensor
    _crossing(tensor, to_gpu, waits_not)
    moved = _bare(tensor.detach()).to(*kept, **{**kwargs, "copy": True})
    return (GpuTensor(moved, _index(device)) if to_gpu else moved).requires_grad_(tensor.requires_grad)


@contextlib.contextmanager
def pretended(monkeypatch: Any) -> Iterator[Gpus]:
    """Two GPUs are there for the time being. Single-threaded: what other threads do is not seen."""
    _all.clear()
    _gpus.waits.clear()
    _gpus.current, _gpus.streams = 0, {index: Stream(index) for index in range(COUNT)}
    defaults = dict(_gpus.streams)
    about = SimpleNamespace(name="pretended GPU", total_memory=80 * 2**30)
    cuda: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: COUNT, "synchronize": _gpus.synchronize,
        "empty_cache": lambda: None, "max_memory_allocated": lambda *_: 0, "set_device": _gpus.select,
        "current_device": lambda: _gpus.current, "get_device_properties": lambda *_: about,
        "reset_peak_memory_stats": lambda *_: None, "get_device_name": lambda *_: about.name, "Event": Event,
        "Stream": Stream, "stream": _on, "current_stream": _gpus.stream,
        "is_current_stream_capturing": lambda: False, "default_stream": lambda device=None: defaults[_index(device)],
    }  # fmt: skip
    for name, value in cuda.items():
        monkeypatch.setattr(torch.cuda, name, value)
    monkeypatch.setattr(torch.accelerator, "current_stream", cuda["current_stream"])
    own = torch.Generator

    class Generator(own):  # pyright: ignore[reportGeneralTypeIssues, reportUntypedBaseClass]
        """Of the device, it draws what the CPU's would."""

        def __new__(cls, device: Any = "cpu") -> Any:
            made = own.__new__(cls, "cpu")
            made.place = torch.device(device)
            return made

        @property
        def device(self) -> torch.device:
            return self.place

    monkeypatch.setattr(torch, "Generator", Generator)
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)  # its tensors cannot be wrapped
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with _Places():
            yield _gpus
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
