"""What the repositories of the registry look like: real file names, indexes, shards, class names and bystanders,
around tiny networks with random weights.

File names are those of the public repositories. What a pipeline does not load is there too, as a small file that
cannot be parsed, so that whoever opens it fails.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.models.model import Model
from bench.models.registry import MODELS
from bench.models.weights import own_folder
from tests.support import folders

GATED = {
    "DeepFloyd/IF-I-XL-v1.0",
    "DeepFloyd/IF-II-L-v1.0",
    "black-forest-labs/FLUX.1-schnell",
    "black-forest-labs/FLUX.1-dev",
    "stabilityai/stable-diffusion-3.5-large-turbo",
    "stabilityai/stable-diffusion-3-medium-diffusers",
}

Build = Callable[[Path], Any]


def dress(
    path: Path, *, variants: bool = False, shards: dict[str, int] | None = None, only_bin: Sequence[str] = (),
    bystanders: Sequence[str] = (), index: dict[str, Any] | None = None, drop_plain: bool = False,
) -> None:  # fmt: skip
    """Makes of a folder that `save_pretrained` wrote one as its authors uploaded it.

    variants: `fp16` twins beside the plain files. shards: part → count. only_bin: parts whose weights are pickles.
    bystanders: files that nobody loads. index: entries laid over model_index.json. drop_plain: `fp16` files alone.
    """
    for part, count in (shards or {}).items():
        shard(path / part, count)
    if variants:
        for file in sorted(path.glob("*/*.safetensors")):
            halve(file)
            if drop_plain:
                file.unlink()
    for part in only_bin:
        for file in sorted((path / part).glob("*.safetensors")):
            pickle(file)
    for name in bystanders:
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"not loaded by anybody\n" * 100)
    (path / "README.md").write_text("---\nlicense: other\n---\n# A model card\n", encoding="utf-8")
    (path / ".gitattributes").write_text(
        "*.safetensors filter=lfs diff=lfs merge=lfs -text\n", encoding="utf-8"
    )
    if index:
        file = path / "model_index.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | index, indent=2), encoding="utf-8")


def shard(part: Path, count: int) -> None:
    """One file of weights as several and an index, as large models have them."""
    from safetensors.torch import load_file, save_file

    file = next(part.glob("*.safetensors"))
    tensors = load_file(file)
    names = sorted(tensors)
    weight_map = {}
    for number in range(count):
        name = f"{file.stem}-{number + 1:05d}-of-{count:05d}.safetensors"
        chosen = {key: tensors[key] for key in names[number::count]}
        save_file(chosen, part / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(chosen, name)
    size = sum(t.numel() * t.element_size() for t in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (part / f"{file.name}.index.json").write_text(json.dumps(index), encoding="utf-8")
    file.unlink()


def halve(file: Path) -> None:
    """The `fp16` twin of a file of weights, and of its index."""
    from safetensors.torch import load_file, save_file

    tensors = {k: v.half() if v.is_floating_point() else v for k, v in load_file(file).items()}
    stem, of, tail = file.stem.partition("-0")
    twin = file.with_name(f"{stem}.fp16{of}{tail}.safetensors")
    save_file(tensors, twin, metadata={"format": "pt"})
    index = file.with_name(f"{stem}.safetensors.index.json")
    if of and index.is_file():
        data = json.loads(index.read_text())
        data["weight_map"] = {
            k: v.replace(f"{stem}-0", f"{stem}.fp16-0") for k, v in data["weight_map"].items()
        }
        index.with_name(f"{stem}.safetensors.index.fp16.json").write_text(json.dumps(data), encoding="utf-8")


def pickle(file: Path) -> None:
    import torch
    from safetensors.torch import load_file

    stem = "pytorch_model" if file.stem == "model" else file.stem
    torch.save(load_file(file), file.with_name(f"{stem}.bin"))
    file.unlink()


ONNX = ("unet/model.onnx", "text_encoder/model.onnx", "text_encoder/flax_model.msgpack", "vae_decoder/model.onnx",
        "unet/openvino_model.bin", "unet/openvino_model.xml")  # fmt: skip


def sdxl_base(path: Path) -> None:
    shutil.copytree(_own("tiny:sdxl"), path, dirs_exist_ok=True)
    dress(path, variants=True, bystanders=(
        *ONNX, "sd_xl_base_1.0.safetensors", "sd_xl_base_1.0_0.9vae.safetensors", "vae_1_0/config.json",
        "sd_xl_offset_example-lora_1.0.safetensors", "01.png",
    ))  # fmt: skip


def sdxl_turbo(path: Path) -> None:
    shutil.copytree(_own("tiny:turbo"), path, dirs_exist_ok=True)
    dress(path, variants=True, bystanders=(*ONNX, "sd_xl_turbo_1.0_fp16.safetensors", "output_tile.jpg"))


def plain_sdxl(path: Path) -> None:
    shutil.copytree(_own("tiny:turbo"), path, dirs_exist_ok=True)
    dress(path, bystanders=("SDXL-Flash.safetensors",))


def lcm_unet(path: Path) -> None:
    shutil.copytree(_own("tiny:lcm"), path, dirs_exist_ok=True)
    halve(path / "diffusion_pytorch_model.safetensors")


def lora_file(name: str) -> Build:
    def build(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        shutil.copy(_own("tiny:lora") / "pytorch_lora_weights.safetensors", path / name)

    return build


def lora_file_at(name: str) -> Build:
    def build(path: Path) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_own("tiny:lora") / "pytorch_lora_weights.safetensors", path / name)

    return build


def unet_file(name: str) -> Build:
    def build(path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        source = _own("tiny:turbo") / "unet" / "diffusion_pytorch_model.safetensors"
        target = path / name
        if name.endswith(".bin"):
            shutil.copy(source, path / "x.safetensors")
            import torch
            from safetensors.torch import load_file

            torch.save(load_file(path / "x.safetensors"), target)
            (path / "x.safetensors").unlink()
        else:
            shutil.copy(source, target)

    return build


def several(*builds: Build) -> Build:
    def build(path: Path) -> None:
        for one in builds:
            one(path)
        (path / "README.md").write_text("---\nlicense: other\n---\n", encoding="utf-8")

    return build


def deepfloyd(path: Path, number: int) -> None:
    work = path.parent / f".{path.name}"
    stages = folders.if_cascade(work)
    shutil.move(str(stages[number]), path)
    shutil.rmtree(work, ignore_errors=True)
    if number == 2:
        return dress(path, variants=True, bystanders=("x4-upscaler-ema.safetensors",))
    shutil.copytree(path / "text_encoder", path / "safety_checker")
    dress(path, variants=True, shards={"text_encoder": 2}, bystanders=(
        "watermarker/diffusion_pytorch_model.safetensors", "text_encoder/pytorch_model.bin.index.json",
        "text_encoder/pytorch_model-00001-of-00002.bin", "unet/diffusion_pytorch_model.bin",
    ), index={
        "safety_checker": ["deepfloyd_if", "IFSafetyChecker"], "watermarker": ["deepfloyd_if", "IFWatermarker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
    })  # fmt: skip
    (path / "safety_checker" / "config.json").write_text("{}", encoding="utf-8")


def instaflow(path: Path) -> None:
    """Its class is not one of diffusers, and its weights are pickles."""
    folders.sd15(path)
    (path / "safety_checker").mkdir()
    dress(
        path,
        only_bin=("unet", "text_encoder", "vae"),
        bystanders=("safety_checker/pytorch_model.bin", "feature_extractor/preprocessor_config.json"),
        index={"_class_name": "RectifiedFlowPipeline"},
    )


def sd_turbo(path: Path) -> None:
    folders.sd15(path)
    dress(
        path,
        variants=True,
        bystanders=("sd_turbo.safetensors",),
        index={"safety_checker": [None, None], "feature_extractor": [None, None]},
    )


def openmuse(path: Path) -> None:
    """The real decoder's configuration asks for float32."""
    folders.amused(path)
    config = path / "vqvae" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"force_upcast": True}), encoding="utf-8")
    dress(path, variants=True, bystanders=("assets/collage.png",))


def flux(name: str, shards: int = 3, guidance: bool = False) -> Build:
    def build(path: Path) -> None:
        folders.flux(path, guidance_embeds=guidance)
        dress(
            path,
            shards={"transformer": shards, "text_encoder_2": 2},
            bystanders=(f"{name}.safetensors", "ae.safetensors", "schnell_grid.jpeg"),
        )

    return build


def sd3(path: Path) -> None:
    folders.sd3(path)
    dress(path, shards={"transformer": 2, "text_encoder_3": 2}, bystanders=(
        "sd3.5_large_turbo.safetensors", "text_encoders/clip_g.safetensors", "text_encoders/t5xxl_fp16.safetensors",
        "text_encoder/model.fp16.safetensors", "SD3.5L_Turbo_example_workflow.json",
    ))  # fmt: skip


def sana_sprint(path: Path) -> None:
    folders.sana_sprint(path)
    dress(path, shards={"text_encoder": 2}, bystanders=("asset/demo.png",))


def z_image(path: Path) -> None:
    folders.z_image(path)
    dress(path, shards={"transformer": 3, "text_encoder": 3}, bystanders=("assets/showcase.jpg",))


def flux2_klein(path: Path) -> None:
    folders.flux2_klein(path)
    dress(path, shards={"text_encoder": 2}, bystanders=("flux-2-klein-4b.safetensors", "teaser.jpg"))


def qwen_image(path: Path) -> None:
    folders.qwen_image(path)
    dress(path, shards={"transformer": 9, "text_encoder": 4})


def pixart(path: Path) -> None:
    folders.pixart(path)
    dress(path, shards={"text_encoder": 2}, bystanders=("asset/images/teaser.png",))


def pixart_dmd(path: Path) -> None:
    """The transformer and its scheduler alone, under the class's earlier name."""
    folders.pixart(path)
    for part in ("text_encoder", "tokenizer", "vae"):
        shutil.rmtree(path / part)
    (path / "model_index.json").unlink()
    config = path / "transformer" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"_class_name": "Transformer2DModel"}))


def sana_15(path: Path) -> None:
    folders.sana(path)
    dress(path, shards={"text_encoder": 2})


def lora_over(part: str, layer: str, rows: int, columns: int, name: str) -> Build:
    """A rank-2 LoRA of one layer of a transformer, in diffusers' names."""

    def build(path: Path) -> None:
        import torch
        from safetensors.torch import save_file

        generator = torch.Generator().manual_seed(5)
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        save_file(
            {
                f"{part}.{layer}.lora_A.weight": torch.randn(2, columns, generator=generator),
                f"{part}.{layer}.lora_B.weight": torch.randn(rows, 2, generator=generator),
            },
            path / name,
        )

    return build


FLUX_LAYER = ("transformer", "transformer_blocks.0.attn.to_q", 32, 32)
QWEN_LIGHTNING = several(*(
    lora_over("transformer", "transformer_blocks.0.attn.to_q", 32, 32,
              f"Qwen-Image-Lightning-{n}steps-V2.0.safetensors") for n in (4, 8)
))  # fmt: skip
PCM_FILES = several(
    *(lora_file_at(f"sdxl/pcm_sdxl_smallcfg_{n}step_converted.safetensors") for n in (2, 4, 8))
)
NITRO = several(*(unet_file(f"nitrosd-{style}_unet.safetensors") for style in ("realism", "vibrant")))
LIGHTNING = several(
    *(unet_file(f"sdxl_lightning_{n}step_unet.safetensors") for n in (2, 4, 8)),
    unet_file("sdxl_lightning_1step_unet_x0.safetensors"),
    lora_file("sdxl_lightning_4step_lora.safetensors"),
)
HYPER = several(
    unet_file("Hyper-SDXL-1step-Unet.safetensors"),
    *(lora_file(f"Hyper-SDXL-{n}steps-lora.safetensors") for n in (2, 4, 8)),
    lora_file("Hyper-SD15-1step-lora.safetensors"),
    *(lora_over(*FLUX_LAYER, f"Hyper-FLUX.1-dev-{n}steps-lora.safetensors") for n in (8, 16)),
    lora_over(
        "transformer", "transformer_blocks.0.attn.to_q", 32, 32, "Hyper-SD3-8steps-CFG-lora.safetensors"
    ),
)
DMD2 = several(
    unet_file("dmd2_sdxl_4step_unet_fp16.bin"),
    unet_file("dmd2_sdxl_4step_unet_fp16.safetensors"),
    unet_file("dmd2_sdxl_1step_unet_fp16.bin"),
    lora_file("dmd2_sdxl_4step_lora_fp16.safetensors"),
)

REPOSITORIES: dict[str, Build] = {
    "stabilityai/stable-diffusion-xl-base-1.0": sdxl_base,
    "stabilityai/sdxl-turbo": sdxl_turbo,
    "latent-consistency/lcm-sdxl": lcm_unet,
    "latent-consistency/lcm-lora-sdxl": lora_file("pytorch_lora_weights.safetensors"),
    "DeepFloyd/IF-I-XL-v1.0": lambda path: deepfloyd(path, 0),
    "DeepFloyd/IF-II-L-v1.0": lambda path: deepfloyd(path, 1),
    "stabilityai/stable-diffusion-x4-upscaler": lambda path: deepfloyd(path, 2),
    "amused/amused-512": openmuse,
    "XCLiu/instaflow_0_9B_from_sd_1_5": instaflow,
    "stabilityai/sd-turbo": sd_turbo,
    "ByteDance/SDXL-Lightning": LIGHTNING,
    "ByteDance/Hyper-SD": HYPER,
    "tianweiy/DMD2": DMD2,
    "black-forest-labs/FLUX.1-schnell": flux("flux1-schnell"),
    "stabilityai/stable-diffusion-3.5-large-turbo": sd3,
    "Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers": sana_sprint,
    "Tongyi-MAI/Z-Image-Turbo": z_image,
    "black-forest-labs/FLUX.2-klein-4B": flux2_klein,
    "black-forest-labs/FLUX.1-dev": flux("flux1-dev", guidance=True),
    "alimama-creative/FLUX.1-Turbo-Alpha": lora_over(*FLUX_LAYER, "diffusion_pytorch_model.safetensors"),
    "Qwen/Qwen-Image": qwen_image,
    "lightx2v/Qwen-Image-Lightning": QWEN_LIGHTNING,
    "sd-community/sdxl-flash": plain_sdxl,
    "jasperai/flash-sdxl": lora_file("pytorch_lora_weights.safetensors"),
    "ChenDY/NitroFusion": NITRO,
    "h1t/TCD-SDXL-LoRA": lora_file("pytorch_lora_weights.safetensors"),
    "wangfuyun/PCM_Weights": PCM_FILES,
    "PixArt-alpha/PixArt-XL-2-512x512": pixart,
    "PixArt-alpha/PixArt-Alpha-DMD-XL-2-512x512": pixart_dmd,
    "Efficient-Large-Model/Sana_Sprint_0.6B_1024px_diffusers": sana_sprint,
    "Efficient-Large-Model/SANA1.5_1.6B_1024px_diffusers": sana_15,
    "tensorart/stable-diffusion-3.5-medium-turbo": sd3,
    "stabilityai/stable-diffusion-3-medium-diffusers": sd3,
}
"""Hub id → what writes its folder. A repository that the registry names and is not here fails a test."""

_SIZE_OF_PIPELINE = {
    "StableDiffusionXLPipeline": 64, "StableDiffusionPipeline": 64, "InstaFlow": 64, "IFPipeline": 128,
    "AmusedPipeline": 16, "FluxPipeline": 32, "StableDiffusion3Pipeline": 32, "SanaSprintPipeline": 32,
    "ZImagePipeline": 32, "Flux2KleinPipeline": 32, "QwenImagePipeline": 32, "PixArtAlphaPipeline": 64,
    "SanaPipeline": 32,
}  # fmt: skip


def hub_models() -> list[str]:
    """Names of the registry's models whose weights are on a hub."""
    return [m.name for m in MODELS.values() if m.kind == "diffusion" and ":" not in m.repository]


def repositories(model: Model) -> list[str]:
    """Every hub repository of an entry."""
    from bench.models.weights import pieces

    return list(dict.fromkeys(piece.repository for piece in pieces(model)))


def small(model: Model) -> Model:
    """The entry as it is, at the size of the tiny networks."""
    stages = tuple(replace(s, steps=2, size=size) for s, size in zip(model.stages, (32, 128), strict=False))
    options = {key: 64 if key == "max_sequence_length" else value for key, value in model.options.items()}
    return replace(model, size=_SIZE_OF_PIPELINE[model.pipeline], stages=stages, options=options)


def build(root: Path, names: Sequence[str]) -> None:
    """Writes the repositories of these models under root."""
    for name in dict.fromkeys(repo for model in names for repo in repositories(MODELS[model])):
        path = root / name
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            REPOSITORIES[name](path)


def _own(name: str) -> Path:
    path = own_folder(name)
    assert path is not None
    return path
