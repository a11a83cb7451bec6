"""The prompt sets: where each comes from, what its file must be, and the seeded choice from it.

Sets written for this suite lie in `prompts/` and travel with it. Public sets are manifests; their files are
brought into the cache by `bench.prompts.fetch` and held to their hash at every load.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.errors import InputError, unknown
from bench.prompts.formats import EDIT_COLUMNS, check_unique, parse, parse_users
from bench.records import Prompt, cache_folder, canonical

OWN = Path(__file__).resolve().parents[2] / "prompts"
"""Beside the package, in a checkout and in an installed wheel alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    path: str
    """Inside its home; the last part is its name in the cache."""
    sha256: str | None = None
    """None: not known to us; recorded at the first fetch and held to from then on."""
    category: str = ""
    """Of every prompt in the file, where the file itself does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSet:
    name: str
    title: str
    home: str
    """`own`; `github:owner/repository`; `hub:owner/dataset`; or an address: of a file, of a folder (ends in
    `/`), or of an archive (ends in `.zip`) that the files lie in."""
    revision: str = ""
    """Commit or branch; empty where the home has none."""
    files: tuple[SourceFile, ...]
    count: int | None
    """Prompts in it; None: not known to us, recorded at the first fetch by way of the hash."""
    licence: str
    source: str
    """The paper, or where it is described."""
    format: str = "tsv"
    """One of prompt_files.FORMATS."""
    columns: Mapping[str, str] = field(default_factory=lambda: {"text": "text"})
    """Field of a Prompt → column of the file."""
    collapse: bool = False
    """The file has several rows a prompt."""
    scorer: str = ""
    """Metric of this suite that scores it as its authors do; empty: it has none here."""

    @property
    def own(self) -> bool:
        return self.home == "own"


_OWN_COLUMNS = {"id": "id", "text": "text", "category": "category", "challenge": "challenge"}
_EDIT_COLUMNS = {**_OWN_COLUMNS, **{name: name for name in EDIT_COLUMNS}}

_SETS = (
    PromptSet(
        name="turbo-264",
        title="This suite's own: 12 categories x 11 challenges, two prompts a cell",
        home="own",
        files=(
            SourceFile(
                path="turbo-264.tsv",
                sha256="9fa13e657b3f709355f2d0361a36b385af9f803f095e280797fdee46aa5c5758",
            ),
        ),
        count=264,
        licence="Apache-2.0",
        source="written for this suite; categories and challenges of arXiv 2206.10789",
        columns=_OWN_COLUMNS,
    ),
    PromptSet(
        name="miniature",
        title="The prompts that the miniature family was trained to draw",
        home="own",
        files=(SourceFile(path="miniature.tsv"),),
        count=320,
        licence="Apache-2.0",
        source="written for this suite",
        columns=_OWN_COLUMNS,
        scorer="scene_accuracy",
    ),
    PromptSet(
        name="miniature-edit",
        title="One change to a drawn scene of the miniature world: colour or shape, at two strengths",
        home="own",
        files=(SourceFile(path="miniature-edit.tsv"),),
        count=48,
        licence="Apache-2.0",
        source="drawn for this suite, by bench/miniature/edits.py",
        columns=_EDIT_COLUMNS,
        scorer="edit_accuracy",
    ),
    PromptSet(
        name="parti",
        title="PartiPrompts (P2), the reference study's",
        home="github:google-research/parti",
        revision="2c99f6652cbc7f0d0441aa91f4c7e7055bcb0071",
        files=(
            SourceFile(
                path="PartiPrompts.tsv",
                sha256="fab29e41bb512a169b56acab4cf2a41dcb675e285df2efcde6640c7dd3c440eb",
            ),
        ),
        count=1632,
        licence="Apache-2.0",
        source="Yu et al. 2022, arXiv 2206.10789",
        columns={"text": "Prompt", "category": "Category", "challenge": "Challenge"},
    ),
    PromptSet(
        name="drawbench",
        title="DrawBench",
        # The authors' own table. It has no revision, so the hash is that of the first fetch.
        home="https://docs.google.com/spreadsheets/d/1y7nAbmR4FREi6npB1u-Bo3GFdwdOPYJc617rBOxIRHY/"
        "gviz/tq?tqx=out:csv&sheet=Sheet1",
        files=(SourceFile(path="drawbench.csv"),),
        count=200,
        licence="not stated",
        source="Saharia et al. 2022, arXiv 2205.11487",
        format="csv",
        columns={"text": "Prompts", "category": "Category"},
    ),
    PromptSet(
        name="geneval",
        title="GenEval",
        home="github:djghosh13/geneval",
        revision="d927da8e42fde2b1b5cd743da4df5ff83c1654ff",
        files=(
            SourceFile(
                path="prompts/evaluation_metadata.jsonl",
                sha256="5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13",
            ),
        ),
        count=553,
        licence="MIT",
        source="Ghosh et al. 2023, arXiv 2310.11513",
        format="jsonl",
        columns={"text": "prompt", "category": "tag"},
    ),
    PromptSet(
        name="geneval2",
        title="GenEval 2, with the questions of Soft-TIFA",
        home="github:facebookresearch/GenEval2",
        revision="a6e82d2289e8d418f27f0adee77908b07060eea3",
        files=(
            SourceFile(
                path="geneval2_data.jsonl",
                sha256="09233adbc9f877fba205f1a20efa4a8640e7e62a91dfd55893562bed8a928e43",
            ),
        ),
        count=800,
        licence="CC-BY-NC-4.0",
        source="Kamath et al. 2025, arXiv 2512.16853",
        format="jsonl",
        columns={"text": "prompt"},
        scorer="soft_tifa",
    ),
    PromptSet(
        name="hpsv2",
        title="HPSv2 benchmark, four styles",
        home="hub:zhwang/HPDv2",
        revision="0288d34e9cb8483d96140fed106046d079ea8708",
        files=tuple(
            SourceFile(path=f"benchmark/{style}.json", category=style)
            for style in ("anime", "concept-art", "paintings", "photo")
        ),
        count=3200,
        licence="Apache-2.0",
        source="Wu et al. 2023, arXiv 2306.09341",
        format="json",
        scorer="hpsv2",
    ),
    PromptSet(
        name="dpg-bench",
        title="DPG-Bench, dense prompts",
        home="github:TencentQQGYLab/ELLA",
        revision="025f650e9b36b9603d606042635d98da09e870de",
        files=(SourceFile(path="dpg_bench/dpg_bench.csv"),),
        count=1065,
        licence="Apache-2.0",
        source="Hu et al. 2024, arXiv 2403.05135",
        format="csv",
        columns={"id": "item_id", "text": "text"},
        collapse=True,
        scorer="dpg",
    ),
    PromptSet(
        name="coco2014-mlperf",
        title="The 5,000 COCO-2014 captions of MLPerf Inference",
        home="github:mlcommons/inference",
        revision="c78a252610a3453e54ceed58bf0e59f1a61fe4f9",
        files=(
            SourceFile(
                path="text_to_image/coco2014/captions/captions_source.tsv",
                sha256="2eeb95637b30fe5af26dd644bafa7affe4e5472ad0bda32d0feb1bd261280d5e",
            ),
        ),
        count=5000,
        licence="CC-BY-4.0",
        source="MLPerf Inference, text_to_image; Lin et al. 2014, arXiv 1405.0312",
        format="tsv-quoted",
        columns={"id": "id", "text": "caption"},
        scorer="mlperf_clip",
    ),
    PromptSet(
        name="coco2017",
        title="COCO-2017 validation, a caption an image",
        home="http://images.cocodataset.org/annotations/annotations_trainval2017.zip",
        files=(SourceFile(path="annotations/captions_val2017.json"),),
        count=5000,
        licence="CC-BY-4.0",
        source="Lin et al. 2014, arXiv 1405.0312",
        format="coco",
        columns={"id": "id", "text": "text"},
    ),
    PromptSet(
        name="coco2014",
        title="COCO-2014 validation, a caption an image; count = 30000 is the usual choice from it",
        home="http://images.cocodataset.org/annotations/annotations_trainval2014.zip",
        files=(SourceFile(path="annotations/captions_val2014.json"),),
        count=40504,
        licence="CC-BY-4.0",
        source="Lin et al. 2014, arXiv 1405.0312",
        format="coco",
        columns={"id": "id", "text": "text"},
    ),
    PromptSet(
        name="gecko",
        title="Gecko",
        home="github:google-deepmind/gecko_benchmark_t2i",
        revision="84eda5c42188f639108b579ec98843b9bea2046a",
        files=(SourceFile(path="prompts.csv"),),
        count=1546,
        licence="CC-BY-4.0",
        source="Wiles et al. 2024, arXiv 2404.16820",
        format="csv",
        columns={"text": "prompt", "category": "prompt_type"},
    ),
    PromptSet(
        name="t2i-compbench",
        title="T2I-CompBench++, the validation prompts of eight skills",
        home="github:Karine-Huang/T2I-CompBench",
        revision="fc2c9b9f8ec357dcf1bb1b382c0df017afe9cd8c",
        files=tuple(
            SourceFile(path=f"examples/dataset/{skill}_val.txt", category=skill)
            for skill in (
                "color",
                "shape",
                "texture",
                "spatial",
                "3d_spatial",
                "numeracy",
                "non_spatial",
                "complex",
            )
        ),
        count=None,  # "300 each" is what the paper says of the test split; we have not counted these files
        licence="MIT",
        source="Huang et al. 2025, arXiv 2307.06350",
        format="lines",
    ),
    PromptSet(
        name="tifa",
        title="TIFA v1.0",
        home="github:Yushi-Hu/tifa",
        revision="5abab2dc3df7a9fa75db88083c20d6feae243512",
        files=(SourceFile(path="tifa_v1.0/tifa_v1.0_text_inputs.json"),),
        count=4081,
        licence="Apache-2.0",
        source="Hu et al. 2023, arXiv 2303.11897",
        format="json",
        columns={"id": "id", "text": "caption"},
        scorer="tifa",
    ),
)

PROMPT_SETS: dict[str, PromptSet] = {entry.name: entry for entry in _SETS}


def find(name: str) -> PromptSet:
    """The set of that name. Raises InputError with the nearest match."""
    if name not in PROMPT_SETS:
        raise unknown("prompt set", name, PROMPT_SETS)
    return PROMPT_SETS[name]


def paths(name: str, *, cache: Path | None = None) -> tuple[Path, ...]:
    """Where the files of a set lie, or would lie once fetched."""
    entry = find(name)
    folder = OWN if entry.own else (cache or cache_folder()) / "prompts" / name
    return tuple(folder / file_name(file) for file in entry.files)


def is_here(name: str, *, cache: Path | None = None) -> bool:
    """Whether `load` would find every file; it still checks what is in them."""
    return all(path.is_file() for path in paths(name, cache=cache))


def load(name: str, *, cache: Path | None = None) -> tuple[Prompt, ...]:
    """The whole set in file order. Reads the disk only, never the network.

    Raises InputError: unknown name, not fetched yet, or a file that is not what the manifest says.
    """
    entry = find(name)
    places = paths(name, cache=cache)
    absent = [path for path in places if not path.is_file()]
    if absent and entry.own:
        raise InputError(
            f"prompt set '{name}' is missing from this installation ({absent[0]}); install it again"
        )
    if absent:
        raise InputError(
            f"prompt set '{name}' is not here yet ({absent[0]}); run `bench prompts fetch {name}`, "
            f"or `bench prompts add {name} FILE` with a copy you have"
        )
    again = (
        "restore it from a copy of this suite"
        if entry.own
        else f"delete it and run `bench prompts fetch {name}`"
    )
    contents = [read_bytes(path) for path in places]
    for place, file, data in zip(places, entry.files, contents, strict=True):
        check_hash(entry, file, place, place, data, again)
    return parsed(entry, places, contents)


def read_file(path: Path) -> tuple[Prompt, ...]:
    """A user's own prompts: .tsv or .csv with a header, .jsonl, .json (a list of texts or of objects), or .txt
    with a prompt a line.

    Columns: text (or prompt), and if wanted id, category, challenge, reference, strength, note. Without ids,
    a prompt is named after the file and its row. Raises InputError with file and line.
    """
    if not path.is_file():
        raise InputError(f"no prompt file at {path}; give a .tsv, .csv, .jsonl, .json or .txt file")
    return parse_users(path, read_bytes(path))


def choose(prompts: Sequence[Prompt], count: int, seed: int) -> tuple[Prompt, ...]:
    """A seeded choice of `count` prompts, stratified by category, in the order of the set.

    Categories get their share by largest remainder, so each is within one of proportional. Inside a category
    the order is that of a hash of seed and id: it depends on no library's generator and not on the order of
    the file. Raises InputError: count below 1 or above what there is.
    """
    if not 1 <= count <= len(prompts):
        raise InputError(f"count is {count}; the set has {len(prompts)} prompts; ask for 1 to {len(prompts)}")
    groups: dict[str, list[Prompt]] = {}
    for prompt in prompts:
        groups.setdefault(prompt.category, []).append(prompt)
    share = {name: divmod(count * len(group), len(prompts)) for name, group in groups.items()}
    by_remainder = sorted(share, key=lambda name: (-share[name][1], _draw(seed, "category", name)))
    left = count - sum(whole for whole, _ in share.values())
    chosen: set[str] = set()
    for rank, name in enumerate(by_remainder):
        drawn = sorted(groups[name], key=lambda prompt: _draw(seed, "prompt", prompt.id))
        chosen.update(prompt.id for prompt in drawn[: share[name][0] + (rank < left)])
    return tuple(prompt for prompt in prompts if prompt.id in chosen)


def limit(prompts: Sequence[Prompt], count: int) -> tuple[Prompt, ...]:
    """The first `count` prompts, or all where there are fewer. Raises InputError: count below 1."""
    if count < 1:
        raise InputError(f"limit is {count}; it must be at least 1")
    return tuple(prompts[:count])


def digest(prompts: Sequence[Prompt]) -> str:
    """sha256 of the prompts themselves, whatever file they came from; for provenance."""
    return hashlib.sha256(canonical(list(prompts)).encode()).hexdigest()


def _draw(seed: int, kind: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{kind}\0{name}".encode()).digest()


def file_name(file: SourceFile) -> str:
    """Its name in the cache."""
    return file.path.rpartition("/")[2]


def record_of(place: Path) -> Path:
    """Beside a fetched file: the hash it had, for files whose hash the manifest does not know."""
    return place.with_name(place.name + ".sha256")


def read_bytes(path: Path) -> bytes:
    """The file's bytes. Raises InputError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None


def check_hash(entry: PromptSet, file: SourceFile, path: Path, place: Path, data: bytes, cure: str) -> None:
    """Hold what was read from `path` to the manifest's hash, or else to that of the first fetch."""
    record, expected = record_of(place), file.sha256
    if expected is None and not entry.own and record.is_file():
        expected = record.read_text(encoding="ascii").strip()
        cure += f", or delete {record} to take the other version from now on"
    found = hashlib.sha256(data).hexdigest()
    if expected not in (None, found):
        raise InputError(
            f"{path}: not the file of prompt set '{entry.name}': sha256 {found}, expected {expected}; {cure}"
        )


def parsed(entry: PromptSet, places: Sequence[Path], contents: Sequence[bytes]) -> tuple[Prompt, ...]:
    """The prompts of all files of a set, their number and ids checked. Raises InputError."""
    prompts: list[Prompt] = []
    for place, file, data in zip(places, entry.files, contents, strict=True):
        prompts += parse(
            place,
            data,
            entry.format,
            entry.columns,
            name=entry.name,
            category=file.category,
            start=len(prompts),
            collapse=entry.collapse,
            mend=not entry.own,
        )
    check_unique(f"prompt set '{entry.name}'", prompts)
    if entry.count not in (None, len(prompts)):
        raise InputError(
            f"{places[0]}: {len(prompts)} prompts, but set '{entry.name}' has {entry.count}: "
            f"another version, or a part of it; get it from {entry.home}"
        )
    return tuple(prompts)
