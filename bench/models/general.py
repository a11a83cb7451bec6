"""Any pipeline class of diffusers, or a user's own file, without a line of ours for it: the general family.

The class is called as diffusers calls it: its own prompt encoding, its own loop, its own decoding. What is ours:
the seeds, the fixed batch shape, and that the call is held at two points. After `encode_prompt` its result is
kept, so that a prompt is encoded once for all contenders and replicates; before `vae.decode` the caller may
launch the next batch. The call is not cut into pieces for that: it runs in a greenlet, which is switched away
from at these points and back to afterwards, always in one thread. A class without `encode_prompt`, or without a
part that decodes, is not held there, and its time is not split.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from bench.errors import InputError, unknown
from bench.models.decoding import Latents, NotFiniteError, fetched, finite_rows, to_bytes
from bench.models.families import Family
from bench.models.model import Model
from bench.models.pipeline import Embedding, Pipeline, StepCounter
from bench.records import Contender

DENOISERS = ("transformer", "unet", "prior", "denoiser")
DECODERS = ("vae", "vqvae", "movq", "vqgan", "decoder")
"""Names under which pipelines of diffusers hold the part that is called once a step, and the one that decodes."""
DROPPED = ("safety_checker", "watermarker")
"""Parts never loaded: they would change or hide images."""
OPTIONAL = ("feature_extractor", "image_encoder")
"""Parts not loaded where the class says that they are optional."""
KEPT = 16
"""Results of `encode_prompt` that are kept: batches, not prompts."""


def general_family(kind: Any) -> Family:
    """What the loader and `--optimize` need to know of a class, read from its signature."""
    required, optional = kind._get_signature_keys(kind)
    parts = {*required, *optional}
    declared = set(getattr(kind, "_optional_components", ()))
    return Family(
        denoiser=next((name for name in DENOISERS if name in parts), ""),
        vae=next((name for name in DECODERS if name in parts), ""),
        encode=_not_staged,
        negative={},
        noise="pipeline",
        decode=_not_staged,
        drop=(*(p for p in DROPPED if p in parts), *(p for p in OPTIONAL if p in parts & declared)),
    )


def _not_staged(*args: Any) -> Any:
    raise NotImplementedError("a pipeline of the general family is called whole")


class GeneralPipeline(Pipeline):
    """A loaded pipeline of any class. See the module's docstring."""

    def __init__(self, model: Model, pipe: Any, device: str, dtype: str, load_recipe: Any = None) -> None:
        super().__init__(
            model, pipe, device, dtype, load_recipe=load_recipe, family=general_family(type(pipe))
        )
        self.accepted = frozenset(inspect.signature(type(pipe).__call__).parameters) - {"self"}
        self.one_by_one = not _takes_generators(type(pipe))
        """The class takes one generator a call: its images are generated one after the other."""
        self.split: set[str] = set()
        """Stages that the last call was held between: `encode`, `decode`."""
        self._encoded: OrderedDict[Any, Any] = OrderedDict()
        own = inspect.signature(type(pipe).__call__).parameters.get("max_sequence_length")
        asked = model.options.get("max_sequence_length", own and own.default)
        self._asked = asked if isinstance(asked, int) else None
        """Tokens of a caption that the call keeps, where it says so."""
        check_call(model, type(pipe))

    def encode(self, texts: Sequence[str], contender: Contender | None = None) -> list[Embedding]:
        """The texts, whose encoding is kept if the class has `encode_prompt`; one batch, encoded together."""
        cut = self.truncated(texts)
        if contender is not None and hasattr(self.pipe, "encode_prompt") and not self.one_by_one:
            self.prepare(contender)
            call = self._call(list(texts), [0] * len(texts), contender, None)
            call.encodes_anew = True
            call.run_until("encode")
            call.close()
        return [Embedding(tensors={}, truncated=c, text=t) for t, c in zip(texts, cut, strict=True)]

    def denoise(
        self,
        embeddings: Sequence[Embedding],
        seeds: Sequence[int],
        contender: Contender,
        *,
        on_step: Callable[[int], None] | None = None,
        references: np.ndarray | None = None,
        strength: float | None = None,
    ) -> Latents:
        """Runs the class's call up to its decoder. See `Pipeline.denoise`."""
        if references is not None:
            raise InputError(f"model '{self.model.name}' cannot generate images from images")
        if len(embeddings) != len(seeds):
            raise ValueError(f"{len(embeddings)} embeddings for {len(seeds)} seeds")
        self.prepare(contender)
        texts = [embedding.text for embedding in embeddings]
        groups = [[i] for i in range(len(texts))] if self.one_by_one else [list(range(len(texts)))]
        calls = []
        for group in groups:
            call = self._call([texts[i] for i in group], [seeds[i] for i in group], contender, on_step)
            call.run_until("decode")
            calls.append(call)
        self.split = calls[0].seen
        return Latents(tensor=calls, size=contender.size)

    def decode_later(self, latents: Latents) -> Callable[[], np.ndarray]:
        """Lets the held calls go on to their ends; what comes back waits for the pixels, uint8 (n, h, w, 3)."""
        waiting: list[Callable[[], np.ndarray]] = []
        for call in latents.tensor:
            with self.decoder.beside(call.latents):
                out = call.finish()
                waiting.append(_pixels(out, call.finite))
        return lambda: _all(waiting)

    def prepare(self, contender: Contender) -> None:
        before = self._recipe
        super().prepare(contender)
        if self._recipe != before:
            self._encoded.clear()  # a LoRA may have changed a text encoder

    def forward_batch(self, contender: Contender) -> int:
        """Not known of a class in general: 1."""
        return 1

    def _bounds(self) -> list[tuple[str, int]]:
        """(tokenizer, tokens it keeps): CLIP's own bound, else that of the class's call."""
        bounds = []
        for name in ("tokenizer", "tokenizer_2", "tokenizer_3", "tokenizer_4"):
            tokenizer = getattr(self.pipe, name, None)
            if tokenizer is None or not hasattr(tokenizer, "model_max_length"):
                continue
            is_clip = type(tokenizer).__name__.startswith("CLIP")
            bounds.append(
                (name, tokenizer.model_max_length if is_clip or self._asked is None else self._asked)
            )
        return bounds

    def close(self) -> None:
        self._encoded.clear()
        super().close()

    def _call(self, texts: list[str], seeds: Sequence[int], contender: Contender, on_step: Any) -> HeldCall:
        import torch

        generators = [torch.Generator(device="cpu").manual_seed(seed) for seed in seeds]
        call = call_arguments(self.model, self.accepted, contender)
        call["prompt"] = texts
        if "negative_prompt" in call:
            call["negative_prompt"] = [call["negative_prompt"]] * len(texts)
        call["generator"] = generators if len(generators) > 1 else generators[0]
        steps = StepCounter(on_step)
        if "callback_on_step_end" in self.accepted:
            call |= steps.hook("callback_on_step_end")
        elif {"callback", "callback_steps"} <= self.accepted:
            call |= steps.hook("callback")
        return HeldCall(self.pipe, getattr(self.pipe, self.family.vae, None), call, self._encoded)


def call_arguments(model: Model, accepted: frozenset[str] | set[str], contender: Contender) -> dict[str, Any]:
    """The arguments of a class's call, but prompt and generator: those of our settings that it takes."""
    recipe = model.recipes.get(contender.steps or 0)
    wanted: dict[str, Any] = {
        "num_inference_steps": contender.steps,
        "height": contender.size,
        "width": contender.size,
        "output_type": "pt",
    }
    if contender.guidance is not None:
        wanted["guidance_scale"] = contender.guidance
    call = {key: value for key, value in wanted.items() if key in accepted}
    call |= dict(model.options)
    if recipe is not None:
        if recipe.timesteps:
            call["timesteps"] = list(recipe.timesteps)
        call |= dict(recipe.options)
    return call


def check_call(model: Model, kind: Any) -> None:
    """Raises InputError for a setting of the model that the class's call does not take."""
    parameters = inspect.signature(kind.__call__).parameters
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    if anything and not kind.__module__.startswith("diffusers."):  # there it takes deprecated names alone
        return
    asked = [*model.options, *(key for recipe in model.recipes.values() for key in recipe.options)]
    asked += ["timesteps"] if any(recipe.timesteps for recipe in model.recipes.values()) else []
    asked += ["guidance_scale"] if model.guidance is not None else []
    for name in asked:
        if name not in parameters:
            message = unknown(f"argument of {kind.__name__}", name, sorted(set(parameters) - {"self"}))
            raise InputError(f"model '{model.name}': {message}")


def _takes_generators(kind: Any) -> bool:
    """True where the class draws noise as diffusers does, from one generator an image."""
    if kind.__module__.startswith("diffusers."):
        return True
    try:
        return "randn_tensor" in inspect.getsource(inspect.getmodule(kind) or kind)
    except (OSError, TypeError):
        return False


class HeldCall:
    """One call of a pipeline, held after its prompt is encoded and before its latents are decoded."""

    def __init__(self, pipe: Any, vae: Any, call: dict[str, Any], encoded: OrderedDict[Any, Any]) -> None:
        from greenlet import greenlet

        self.seen: set[str] = set()
        self.latents: Any = None
        """What the decoder was given; None before that."""
        self.finite: Any = None
        """bool (n): whether all that came out of the decoder for an image was finite; None before that."""
        self.encodes_anew = False
        """The first encoding is computed though it is kept already: a timing of it must not be of a look-up."""
        self._pipe, self._vae, self._arguments, self._encoded = pipe, vae, call, encoded
        self._result: Any = None
        self._greenlet: Any = greenlet(self._run)
        self._parent: Any = None

    def run_until(self, point: str) -> None:
        """Goes on until the point, `encode` or `decode`, or to the end if the call does not pass it."""
        while point not in self.seen and not self._greenlet.dead:
            self._switch()

    def finish(self) -> Any:
        """Goes on to the end; the class's own result."""
        while not self._greenlet.dead:
            self._switch()
        return self._result

    def close(self) -> None:
        """Ends the call where it is held: what its frames have to put back is put back here."""
        import torch

        if self._greenlet and not self._greenlet.dead:
            with torch.inference_mode():
                self._greenlet.throw()

    __del__ = close

    def _switch(self) -> None:
        import torch
        from greenlet import getcurrent

        self._greenlet.parent = getcurrent()
        with torch.inference_mode(), self._hooked():
            self._greenlet.switch()

    def _run(self) -> None:
        self._result = self._pipe(**self._arguments)

    def _hold(self, point: str) -> None:
        self.seen.add(point)
        self._greenlet.parent.switch()

    @contextlib.contextmanager
    def _hooked(self) -> Iterator[None]:
        """The two methods replaced on these objects, while this call runs."""
        hooked = []
        if hasattr(self._pipe, "encode_prompt"):
            self._pipe.encode_prompt = self._encode
            hooked.append((self._pipe, "encode_prompt"))
        if self._vae is not None and hasattr(self._vae, "decode"):
            self._vae.decode = self._decode
            hooked.append((self._vae, "decode"))
        try:
            yield
        finally:
            for holder, name in hooked:
                delattr(holder, name)

    def _encode(self, *args: Any, **named: Any) -> Any:
        own = type(self._pipe).encode_prompt.__get__(self._pipe)
        key = _key((args, tuple(sorted(named.items()))))
        if key is None:
            value = own(*args, **named)
        elif key in self._encoded and not (self.encodes_anew and "encode" not in self.seen):
            value = self._encoded[key]
        else:
            value = self._encoded[key] = own(*args, **named)
            while len(self._encoded) > KEPT:
                self._encoded.popitem(last=False)
        if "encode" not in self.seen:
            self._hold("encode")
        return value

    def _decode(self, *args: Any, **named: Any) -> Any:
        import torch

        own = type(self._vae).decode.__get__(self._vae)
        if "decode" not in self.seen:
            self.latents = next((a for a in (*args, *named.values()) if isinstance(a, torch.Tensor)), None)
            self._hold("decode")
        out = own(*args, **named)
        pixels = out[0] if isinstance(out, tuple) else getattr(out, "sample", None)
        if isinstance(pixels, torch.Tensor) and pixels.is_floating_point():
            good = finite_rows(pixels)
            self.finite = good if self.finite is None else torch.cat([self.finite, good])
        return out


def _key(value: Any) -> Any:
    """A hashable that stands for the arguments of a call; None where one of them has no such."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return (type(value).__name__, value)
    if isinstance(value, (list, tuple)):
        keys = tuple(_key(item) for item in value)
        return None if None in keys else (type(value).__name__, *keys)
    if type(value).__name__ in ("device", "dtype"):
        return str(value)
    return None


def _pixels(out: Any, finite: Any) -> Callable[[], np.ndarray]:
    """A pipeline's result → what waits for uint8 (n, h, w, 3)."""
    import torch

    images = getattr(out, "images", None)
    if images is None:
        images = out[0] if isinstance(out, tuple) else out
    good = None if finite is None else fetched(finite)
    if isinstance(images, torch.Tensor):
        pixels = fetched(to_bytes(images.float() * 2 - 1))
    else:
        array = _array(images)

        def pixels() -> np.ndarray:
            return array

    def wait() -> np.ndarray:
        if good is not None and not good().all():
            raise NotFiniteError(np.flatnonzero(~good()).tolist(), pixels())
        return pixels()

    return wait


def _all(waiting: Sequence[Callable[[], np.ndarray]]) -> np.ndarray:
    """The pixels of several calls as one batch."""
    pixels, bad = [], []
    for wait in waiting:
        try:
            pixels.append(wait())
        except NotFiniteError as error:
            bad += [sum(map(len, pixels)) + row for row in error.rows]
            pixels.append(error.pixels)
    if bad:
        raise NotFiniteError(bad, np.concatenate(pixels))
    return np.concatenate(pixels)


def _array(images: Any) -> np.ndarray:
    """A list of PIL images, or an array of floats in [0, 1] or of bytes → uint8 (n, h, w, 3)."""
    if not isinstance(images, np.ndarray):
        return np.stack([np.asarray(image.convert("RGB")) for image in images])
    array = images[None] if images.ndim == 3 else images
    return array if array.dtype == np.uint8 else np.round(np.clip(array, 0, 1) * 255).astype(np.uint8)
