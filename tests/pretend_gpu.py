"""A pretended GPU for machines without one: tensors that say they are on `cuda` and compute on the CPU.

Inside `pretended()` real numbers come out of code that names `cuda` as its device, and four faults that only a
GPU would show are found: an operation over tensors of two devices raises as CUDA does, `numpy()` of a tensor on
the device raises, so does the use of a tensor on one stream that has not waited for the stream that made it, and
every place where the host waits for the device (`item()`, `nonzero`, a blocking copy) is written down with the
line that caused it. It knows nothing of memory or speed.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Iterator
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
GPU = torch.device("cuda", 0)


@dataclass
class Record:
    """What happened on the pretended GPU."""

    waits: list[str] = field(default_factory=list)
    """`file:line operation`, one each time the host waited."""


class Stream:
    """Its clock counts operations; it knows up to when it has waited for others."""

    def __init__(self, *_: Any) -> None:
        self.now = 0
        self.waited: dict[Stream, int] = {}

    def wait_stream(self, other: Stream) -> None:
        self.waited[other] = other.now

    def synchronize(self) -> None: ...

    def is_capturing(self) -> bool:
        return False

    def __deepcopy__(self, _: Any) -> Stream:
        return self


_record = Record()
_streams = [Stream()]
"""The last is the current one."""


@contextlib.contextmanager
def _on(stream: Stream) -> Iterator[None]:
    _streams.append(stream)
    yield
    _streams.pop()


def _on_gpu(device: Any) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _note(what: str) -> None:
    """The innermost line that is neither torch's nor this module's."""
    here, library = Path(__file__), str(Path(torch.__file__).parent)
    frames = [f for f in traceback.extract_stack() if Path(f.filename) != here]
    own = [f for f in frames if not f.filename.startswith(library)]
    parts = Path(own[-1].filename).parts[-3:]
    _record.waits.append(f"{'/'.join(parts)}:{own[-1].lineno} {what}")


class GpuTensor(torch.Tensor):
    """Holds a CPU tensor, and says that it is on the GPU."""

    held: torch.Tensor
    made: tuple[Stream, int]
    """Stream, and its time."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> GpuTensor:
        made = torch.Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            layout=held.layout, device="cpu",  # of cuda the C++ side would touch the driver
        )  # fmt: skip
        made.held, made.made = held, (_streams[-1], _streams[-1].now)
        return made

    @property
    def device(self) -> torch.device:  # pyright: ignore[reportIncompatibleVariableOverride]
        return GPU

    @property
    def is_cuda(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return True

    def record_stream(self, _: Any) -> None: ...  # pyright: ignore[reportIncompatibleMethodOverride]

    def __repr__(self, **_: Any) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        return f"GpuTensor({self.held!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        _streams[-1].now += 1
        if name == "copy_":
            return _copied(*args, **kwargs)
        _one_device(name, args, kwargs)
        if name in WAITS:
            _note(name)
        out = func(*tree_map(_bare, args), **tree_map(_bare, kwargs))
        if func._schema.is_mutable and isinstance(args[0], GpuTensor) and out is args[0].held:
            return args[0]
        return tree_map(_wrapped, out)


def _bare(x: Any) -> Any:
    return x.held if isinstance(x, GpuTensor) else x


def _wrapped(x: Any) -> Any:
    return GpuTensor(x) if isinstance(x, torch.Tensor) and not isinstance(x, GpuTensor) else x


def _copied(target: Any, source: Any, non_blocking: bool = False) -> Any:
    _in_order("copy_", [target, source])
    _crossing(source, isinstance(target, GpuTensor), non_blocking)
    _bare(target).copy_(_bare(source))
    return target


def _crossing(source: Any, to_gpu: bool, non_blocking: bool) -> None:
    """A copy between host and device waits for all that was launched before it, unless it is told not to."""
    if isinstance(source, GpuTensor) != to_gpu and not non_blocking:
        _note("copy to the device" if to_gpu else "copy from the device")


def _one_device(name: str, args: Any, kwargs: Any) -> None:
    """As CUDA: tensors of the CPU may stand beside those of the device only if they are numbers or indices."""
    flat: list[Any] = []
    tree_map(flat.append, (args, kwargs))
    _in_order(name, flat)
    if name in ("index", "index_put", "index_put_", "_index_put_impl_"):
        return
    if torch._C._current_graph_task_id() != -1:  # autograd's C++ side fills gaps with zeros "of the CPU"
        return
    if any(isinstance(x, torch.Tensor) and not isinstance(x, GpuTensor) and x.ndim for x in flat):
        raise RuntimeError(f"{name}: expected all tensors on one device, but found cuda:0 and cpu")


def _in_order(name: str, arguments: list[Any]) -> None:
    here = _streams[-1]
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
            return tree_map(_wrapped, made) if any(isinstance(x, GpuTensor) for x in given) else made
        kwargs.pop("pin_memory", None)
        device = None if name == "_parse_to" else kwargs.get("device")
        if _on_gpu(device):
            kwargs["device"] = "cpu"
            if name in ("tensor", "as_tensor", "asarray"):
                _note("copy to the device")
            return _wrapped(_bare(func(*args, **kwargs)))
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
    if to_gpu == isinstance(tensor, GpuTensor):
        return tensor.to(*kept, **kwargs) if kept or kwargs else tensor
    _crossing(tensor, to_gpu, waits_not)
    moved = _bare(tensor.detach()).to(*kept, **{**kwargs, "copy": True})
    return (GpuTensor(moved) if to_gpu else moved).requires_grad_(tensor.requires_grad)


class _Event:
    def record(self, *_: Any) -> None: ...
    def synchronize(self) -> None: ...


@contextlib.contextmanager
def pretended(monkeypatch: Any) -> Iterator[Record]:
    """A GPU is there for the time being. Single-threaded: what other threads do is not seen."""
    _record.waits.clear()
    cuda: dict[str, Any] = {
        "is_available": lambda: True, "device_count": lambda: 1, "synchronize": lambda *_: None,
        "empty_cache": lambda: None, "max_memory_allocated": lambda *_: 0, "current_device": lambda: 0,
        "get_device_properties": lambda *_: SimpleNamespace(name="pretended GPU", total_memory=80 * 2**30),
        "reset_peak_memory_stats": lambda *_: None, "get_device_name": lambda *_: "pretended GPU",
        "Event": _Event, "Stream": Stream, "stream": _on, "current_stream": lambda *_: _streams[-1],
        "default_stream": lambda *_: _streams[0],
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
            yield _record
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
