"""CLIP-IQA as a metric of one's own: how much likelier CLIP finds "Good photo." than "Bad photo.".

Source: Wang et al. 2023, arXiv 2207.12396; 0 to 1. The paper leaves out the position embedding of CLIP's RN50, which
open_clip does not offer: name this form where you print it.
"""

import functools

import open_clip
import torch

MODEL, WEIGHTS = "RN50", "openai"


@functools.cache
def loaded(device):
    model, _, transform = open_clip.create_model_and_transforms(MODEL, pretrained=WEIGHTS, device=device)
    words = open_clip.get_tokenizer(MODEL)(["Good photo.", "Bad photo."]).to(device)
    with torch.inference_mode():
        anchors = torch.nn.functional.normalize(model.eval().encode_text(words), dim=-1)
    return model, transform, anchors


def clip_iqa(images, prompts, device="cpu"):
    """images: list of PIL images at the study's display size. prompts: their texts, not used. A number an image."""
    model, transform, anchors = loaded(device)
    with torch.inference_mode():
        pixels = torch.stack([transform(image) for image in images]).to(device)
        features = torch.nn.functional.normalize(model.encode_image(pixels), dim=-1)
        return (100 * features @ anchors.T).softmax(-1)[:, 0].tolist()
