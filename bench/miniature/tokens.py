"""The family's tokenizer: a CLIP byte-pair tokenizer whose every word of the grammar is one token."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from bench.miniature import captions

if TYPE_CHECKING:
    from transformers import CLIPTokenizer

LENGTH = 32  # tokens, start and end included
START, END = "<|startoftext|>", "<|endoftext|>"


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Vocabulary and merges that make each word of the grammar one token; the end token comes last."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pieces = [*letters, *(c + "</w>" for c in letters), ",", ",</w>"]
    splits = {word: [*word[:-1], word[-1] + "</w>"] for word in captions.words()}
    merges: list[tuple[str, str]] = []
    while True:
        pairs: dict[tuple[str, str], int] = {}
        for parts in splits.values():
            for pair in itertools.pairwise(parts):
                pairs[pair] = pairs.get(pair, 0) + 1
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        pieces.append(best[0] + best[1])
        for word, parts in splits.items():
            merged: list[str] = []
            for part in parts:
                if merged and (merged[-1], part) == best:
                    merged[-1] += part
                else:
                    merged.append(part)
            splits[word] = merged
    ordered = [*list(dict.fromkeys(pieces)), START, END]
    return {piece: i for i, piece in enumerate(ordered)}, merges


@lru_cache(maxsize=1)
def make_tokenizer() -> CLIPTokenizer:
    """The tokenizer of every text encoder of the family."""
    from transformers import CLIPTokenizer

    vocab, merges = vocabulary()
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)  # type: ignore[arg-type]


def encode(tokenizer: CLIPTokenizer, texts: list[str]) -> np.ndarray:
    """(n, LENGTH) int64, padded with the end token."""
    out = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True)
    return np.array(out["input_ids"], np.int64)
