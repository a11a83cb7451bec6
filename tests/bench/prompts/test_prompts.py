"""Prompt sets: the shipped files, the manifests, the readers' complaints, and the seeded choice."""

from __future__ import annotations

import csv
import hashlib
import http.server
import io
import json
import os
import random
import string
import threading
import zipfile
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.errors import InputError
from bench.prompts import fetch, sets
from bench.prompts.formats import LONGEST_ID, LONGEST_TEXT
from bench.prompts.sets import PROMPT_SETS, PromptSet, SourceFile, choose, digest, limit, load, read_file
from bench.records import Prompt

REPOSITORY = Path(__file__).resolve().parents[3]
SHARED = Path(os.environ.get("BENCH_SHARED", REPOSITORY.parent / "shared")) / "data" / "prompts"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason=f"the real prompt sets are not at {SHARED}")

CATEGORIES = {
    "Abstract", "Animals", "Artifacts", "Arts", "Food & Beverage", "Illustrations", "Indoor Scenes",
    "Outdoor Scenes", "People", "Produce & Plants", "Vehicles", "World Knowledge",
}  # fmt: skip
CHALLENGES = {
    "Basic", "Complex", "Fine-grained Detail", "Imagination", "Linguistic Structures", "Perspective",
    "Properties & Positioning", "Quantity", "Simple Detail", "Style & Format", "Writing & Symbols",
}  # fmt: skip


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# The shipped sets


def test_own_set_crosses_every_category_with_every_challenge() -> None:
    own = load("turbo-264")
    assert Counter((p.category, p.challenge) for p in own) == dict.fromkeys(
        ((category, challenge) for category in CATEGORIES for challenge in CHALLENGES), 2
    )
    assert len({p.id for p in own}) == len({p.text.casefold() for p in own}) == 264
    assert all(p.text == p.text.strip() and "  " not in p.text for p in own)


def test_own_set_has_prompts_beyond_the_77_tokens_of_clip() -> None:
    # A word is one token of CLIP or more, and start and end are two: above 75 words is above 77 tokens.
    words = [len(p.text.split()) for p in load("turbo-264")]
    assert sum(n > 75 for n in words) == len(CATEGORIES)
    assert min(words) == 1


@needs_shared
def test_own_set_repeats_no_public_prompt() -> None:
    theirs = [row["Prompt"] for row in _quoteless(SHARED / "parti-prompts.tsv")]
    theirs += [json.loads(line)["prompt"] for line in lines("geneval-metadata.jsonl")]
    theirs += [
        row["caption"] for row in csv.DictReader(lines("coco2014-captions-mlperf.tsv"), delimiter="\t")
    ]

    def bare(text: str) -> str:
        return " ".join("".join(c for c in text.casefold() if c.isalnum() or c == " ").split())

    assert {bare(p.text) for p in load("turbo-264")}.isdisjoint(map(bare, theirs))


@pytest.mark.parametrize("entry", [e for e in PROMPT_SETS.values() if e.own], ids=lambda e: e.name)
def test_own_sets_are_there_and_counted(entry: PromptSet) -> None:
    found = load(entry.name)  # checks count and hash where the table has them
    assert len(found) == (sets.OWN / entry.files[0].path).read_bytes().count(b"\n") - 1
    assert all(p.category and p.text for p in found)


def test_every_manifest_says_what_it_is() -> None:
    for name, entry in PROMPT_SETS.items():
        assert entry.name == name
        assert entry.licence
        assert entry.source
        assert entry.files
        assert len({file.path.rpartition("/")[2] for file in entry.files}) == len(entry.files)
        if entry.home.startswith(("github:", "hub:")):
            assert len(entry.revision) == 40
            assert entry.revision in fetch.address(entry, entry.files[0])


def test_hub_address_follows_the_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    entry = PROMPT_SETS["hpsv2"]
    assert fetch.address(entry, entry.files[1]) == (
        f"https://mirror.example/datasets/zhwang/HPDv2/resolve/{entry.revision}/benchmark/concept-art.json"
    )


# The real public sets


def lines(name: str) -> list[str]:
    return (SHARED / name).read_text(encoding="utf-8").splitlines()


def _quoteless(path: Path) -> list[dict[str, str]]:
    """Another reader than ours: the csv module told that quotes mean nothing."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


@needs_shared
def test_parti_prompts_are_read_verbatim(tmp_path: Path) -> None:
    fetch.add("parti", SHARED / "parti-prompts.tsv", cache=tmp_path)
    got = load("parti", cache=tmp_path)
    oracle = _quoteless(SHARED / "parti-prompts.tsv")
    assert len(got) == 1632
    assert [(p.text, p.category, p.challenge) for p in got] == [
        (row["Prompt"], row["Category"], row["Challenge"]) for row in oracle
    ]
    assert (got[0].id, got[-1].id) == ("parti-0001", "parti-1632")
    assert {p.category for p in got} == CATEGORIES
    assert {p.challenge for p in got} == CHALLENGES
    assert got[1560].text.startswith('"G I G G L E" painted')


@needs_shared
def test_geneval_tags_are_categories(tmp_path: Path) -> None:
    fetch.add("geneval", SHARED / "geneval-metadata.jsonl", cache=tmp_path)
    got = load("geneval", cache=tmp_path)
    assert Counter(p.category for p in got) == {
        "single_object": 80,
        "two_object": 99,
        "counting": 80,
        "colors": 94,
        "position": 100,
        "color_attr": 100,
    }
    assert got[0].text == "a photo of a bench"


@needs_shared
def test_mlperf_captions_keep_their_ids_and_lose_their_csv_quotes(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    fetch.add("coco2014-mlperf", SHARED / "coco2014-captions-mlperf.tsv", cache=tmp_path)
    got = load("coco2014-mlperf", cache=tmp_path)
    oracle = pandas.read_csv(SHARED / "coco2014-captions-mlperf.tsv", sep="\t")
    assert [(p.id, p.text) for p in got] == list(
        zip(oracle["id"].astype(str), oracle["caption"], strict=True)
    )
    assert len(got) == 5000


@needs_shared
def test_a_changed_copy_is_refused_with_both_hashes_and_leaves_nothing(tmp_path: Path) -> None:
    data = (SHARED / "parti-prompts.tsv").read_bytes()
    path = write(tmp_path, "mine.tsv", data.replace(b"bond", b"bund", 1))
    with pytest.raises(InputError) as error:
        fetch.add("parti", path, cache=tmp_path / "cache")
    assert hashlib.sha256(data).hexdigest() in str(error.value)
    assert hashlib.sha256(path.read_bytes()).hexdigest() in str(error.value)
    assert not (tmp_path / "cache").exists()


@needs_shared
def test_a_cached_copy_damaged_later_is_noticed(tmp_path: Path) -> None:
    (place,) = fetch.add("geneval", SHARED / "geneval-metadata.jsonl", cache=tmp_path)
    place.write_bytes(place.read_bytes().replace(b"bench", b"bunch", 1))
    with pytest.raises(InputError, match=r"delete it and run `bench prompts fetch geneval`"):
        load("geneval", cache=tmp_path)


# Fetching, against a server on this machine


@pytest.fixture
def server():
    """A web server of a dictionary: path → bytes; counts what was asked."""
    pages: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            if self.path not in pages:
                self.send_error(404)
                return
            body = pages[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + 100 * self.path.startswith("/torn")))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", pages, asked
    web.shutdown()
    thread.join()
    web.server_close()


TOY = PromptSet(
    name="toy",
    title="",
    home="own",
    files=(SourceFile(path="one.txt", category="first"), SourceFile(path="two.txt", category="second")),
    count=3,
    licence="test",
    source="test",
    format="lines",
)


def put(monkeypatch: pytest.MonkeyPatch, **changes: object) -> PromptSet:
    entry = replace(TOY, **changes)  # pyright: ignore[reportArgumentType]
    monkeypatch.setitem(PROMPT_SETS, entry.name, entry)
    return entry


def test_fetch_downloads_once_and_numbers_prompts_across_files(server, monkeypatch, tmp_path) -> None:
    home, pages, asked = server
    pages |= {"/a/one.txt": b"red\nblue\n", "/a/two.txt": b"green"}
    put(monkeypatch, home=f"{home}/a/")
    seen: list[tuple[str, int, int | None]] = []
    with pytest.raises(InputError, match=r"not here yet .*fetch toy.*add toy FILE"):
        load("toy", cache=tmp_path)
    for _ in range(2):
        fetch.fetch("toy", cache=tmp_path, progress=lambda *step: seen.append(step))
    assert asked == ["/a/one.txt", "/a/two.txt"]
    assert seen == [("one.txt", 9, 9), ("two.txt", 5, 5)]
    assert [(p.id, p.text, p.category) for p in load("toy", cache=tmp_path)] == [
        ("toy-0001", "red", "first"),
        ("toy-0002", "blue", "first"),
        ("toy-0003", "green", "second"),
    ]
    kept = sorted(path.name for path in (tmp_path / "prompts" / "toy").iterdir())
    assert kept == ["one.txt", "one.txt.sha256", "two.txt", "two.txt.sha256"]
    assert sorted(path.name for path in (tmp_path / "prompts").iterdir()) == ["toy"]


def test_hash_of_the_first_fetch_is_held_to(server, monkeypatch, tmp_path) -> None:
    home, pages, _ = server
    pages |= {"/one.txt": b"red\nblue\n", "/two.txt": b"green\n"}
    put(monkeypatch, home=f"{home}/")
    one, _ = fetch.fetch("toy", cache=tmp_path)
    one.write_bytes(b"red\nteal\n")
    with pytest.raises(InputError, match=r"one.txt: not the file of prompt set 'toy'.*expected"):
        load("toy", cache=tmp_path)
    one.unlink()
    pages["/one.txt"] = b"red\npink\n"
    with pytest.raises(InputError, match=r"or delete .*one.txt.sha256"):
        fetch.fetch("toy", cache=tmp_path)
    pages["/one.txt"] = b"red\nblue\n"
    fetch.fetch("toy", cache=tmp_path)
    assert load("toy", cache=tmp_path)[1].text == "blue"


def test_failed_downloads_say_so_and_leave_nothing(server, monkeypatch, tmp_path) -> None:
    home, pages, _ = server
    pages |= {"/torn/one.txt": b"red\n", "/short/one.txt": b"red\n", "/short/two.txt": b"blue\n"}
    for folder, message in (
        ("/none/", r"/none/one.txt answered 404 Not Found; check the network, or .*add toy FILE"),
        ("/torn/", r"the transfer broke off; try again"),
        ("/short/", r"2 prompts, but set 'toy' has 3"),
    ):
        put(monkeypatch, home=home + folder)
        with pytest.raises(InputError, match=message):
            fetch.fetch("toy", cache=tmp_path)
        assert list((tmp_path / "prompts").iterdir()) == []
    put(monkeypatch, home="http://127.0.0.1:9/")
    with pytest.raises(InputError, match=r"cannot reach http://127.0.0.1:9/one.txt"):
        fetch.fetch("toy", cache=tmp_path)


def test_cache_that_cannot_be_written_is_one_clear_line(server, monkeypatch, tmp_path) -> None:
    home, pages, _ = server
    pages |= {"/one.txt": b"red\nblue\n", "/two.txt": b"green\n"}
    put(monkeypatch, home=f"{home}/")
    write(tmp_path, "prompts", "a file where a folder should be")
    with pytest.raises(InputError, match=r"cannot write below .*TURBO_BENCH_CACHE"):
        fetch.fetch("toy", cache=tmp_path)


def test_coco_captions_come_out_of_their_archive_one_an_image(server, monkeypatch, tmp_path) -> None:
    home, pages, asked = server
    notes = [(9, 30, "a late one"), (4, 30, " an early one \n"), (5, 7, "a\tseven"), (8, 30, "a middle one")]
    annotations = {"annotations": [{"id": i, "image_id": m, "caption": c} for i, m, c in notes]}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("annotations/captions.json", json.dumps(annotations))
    pages["/all.zip"] = packed.getvalue()
    put(
        monkeypatch,
        home=f"{home}/all.zip",
        files=(SourceFile(path="annotations/captions.json"),),
        count=2,
        format="coco",
        columns={"id": "id", "text": "text"},
    )
    (place,) = fetch.fetch("toy", cache=tmp_path)
    assert asked == ["/all.zip"]
    assert json.loads(place.read_bytes()) == annotations
    got = load("toy", cache=tmp_path)
    assert [(p.id, p.text) for p in got] == [("7", "a seven"), ("30", "an early one")]
    fetch.add("toy", write(tmp_path, "copy.json", place.read_bytes()), cache=tmp_path / "other")
    assert load("toy", cache=tmp_path / "other") == got
    put(monkeypatch, home=f"{home}/all.zip", files=(SourceFile(path="annotations/other.json"),))
    copy = write(tmp_path, "copy.zip", packed.getvalue())
    with pytest.raises(InputError, match=r"no item named .*it should be the archive at"):
        fetch.add("toy", copy, cache=tmp_path)


def test_rows_of_one_prompt_collapse_and_its_line_breaks_become_spaces(monkeypatch, tmp_path) -> None:
    table = 'item_id,text,question\nx1,"a red\ncube",1\nx1,"a red\ncube",2\nx2,a ball,1\n'
    columns = {"id": "item_id", "text": "text"}
    put(monkeypatch, home="http://127.0.0.1:9/", files=(SourceFile(path="t.csv"),), count=2, format="csv",
        columns=columns, collapse=True)  # fmt: skip
    fetch.add("toy", write(tmp_path, "t.csv", table), cache=tmp_path)
    assert [(p.id, p.text) for p in load("toy", cache=tmp_path)] == [("x1", "a red cube"), ("x2", "a ball")]
    other = write(tmp_path, "u.csv", table.replace('cube",2', 'cone",2'))
    with pytest.raises(InputError, match="same id 'x1'"):
        fetch.add("toy", other, cache=tmp_path / "new")


def test_add_asks_for_what_it_needs(monkeypatch, tmp_path) -> None:
    put(monkeypatch, home="http://127.0.0.1:9/")
    with pytest.raises(InputError, match=r"several files; give the folder that holds one.txt, two.txt"):
        fetch.add("toy", write(tmp_path, "one.txt", "red\n"), cache=tmp_path)
    with pytest.raises(InputError, match=r"no file .*two.txt; prompt set 'toy' needs two.txt"):
        fetch.add("toy", tmp_path, cache=tmp_path)
    with pytest.raises(InputError, match="comes with this suite"):
        fetch.add("turbo-264", tmp_path, cache=tmp_path)
    with pytest.raises(InputError, match=r"unknown prompt set 'geneva': did you mean 'geneval'\?"):
        load("geneva", cache=tmp_path)


# A user's own file

BAD = [
    ("p.txt", "", r"p.txt: no prompts in it"),
    ("p.tsv", "id\ttext\n", r"p.tsv: no prompts in it"),
    ("p.txt", "red\n\nblue\n", r"p.txt:2: empty text"),
    ("p.tsv", "text\nred\n \u3000\n", r"p.tsv:3: empty text; write the prompt or delete the row"),
    ("p.tsv", "text\nred\n \t\n", r"p.tsv:3: 2 fields, but the header names 1"),
    ("p.csv", "id,text\na,red\nb\n", r"p.csv:3: 1 fields, but the header names 2"),
    ("p.tsv", "id\tcaption\na\tred\n", r"p.tsv:2: unknown column 'caption'"),
    ("p.tsv", "text\tcatgory\na\tred\n", r"p.tsv:2: unknown column 'catgory': did you mean 'category'\?"),
    ("p.tsv", "id\tnote\na\tred\n", r"p.tsv:2: no column 'text'; the columns are: id, note"),
    ("p.tsv", "text\tprompt\na\tb\n", r"p.tsv:2: two columns for text"),
    ("p.tsv", "text\ttext_de\na\tb\n", r"p.tsv:2: unknown column 'text_de': did you mean 'text:de'\?"),
    ("p.tsv", "text\ttext:Deutsch!\na\tb\n", r"p.tsv:2: unknown column 'text:Deutsch!'"),
    (
        "p.tsv",
        "text\tinstruction:de\na\tb\n",
        r"p.tsv:2: .*raters read the text of this prompt; write it under 'text:de'",
    ),
    ("p.tsv", "id\tid\ttext\na\tb\tc\n", r"p.tsv:1: two columns named 'id'"),
    ("p.tsv", "id\ttext\na\tred\nb\tblue\nA\tteal\n", r"p.tsv: prompts 1 and 3 have the same id 'A'"),
    ("p.tsv", b"text\nred\ncaf\xe9\n", r"p.tsv:3: not UTF-8 \(byte 0xe9\); save the file as UTF-8"),
    ("p.txt", b"\xef\xbb\xbfred\ncaf\xe9\n", r"p.txt:2: not UTF-8 \(byte 0xe9\)"),
    ("p.txt", "red\nb\x00lue\n", r"p.txt:2: control character U\+0000 in the text"),
    ("p.txt", "red\rblue\nteal", r"p.txt:1: control character U\+000D"),
    ("p.json", '["red", 3]', r"p.json: not a JSON list of texts or of objects"),
    ("p.csv", 'text\n"a\nb"\n', r"p.csv:3: control character U\+000A"),
    ("p.csv", 'text\n"a\n', r"p.csv:2: unexpected end of data"),
    ("p.tsv", 'text\n"a ""b"" c"\n', r"p.tsv:2: .*is quoted as in CSV"),
    ("p.tsv", "id\ttext\n../x\tred\n", r"p.tsv:2: id '../x' cannot name a file"),
    ("p.tsv", "id\ttext\na..b\tred\n", r"p.tsv:2: id 'a..b' cannot name a file"),
    ("p.tsv", "id\ttext\na/b\tred\n", r"p.tsv:2: id 'a/b'"),
    ("p.tsv", "id\ttext\n\tred\n", r"p.tsv:2: id '' cannot"),
    ("p.tsv", "id\ttext\nx\x00\tred\n", r"p.tsv:2: control character U\+0000 in the id"),
    ("p.tsv", f"id\ttext\n{'x' * (LONGEST_ID + 1)}\tred\n", r"p.tsv:2: id 'xxx.*at most 80"),
    ("p.txt", "x" * (LONGEST_TEXT + 1), r"p.txt:1: text of 10,241 bytes; at most 10,240"),
    ("p.jsonl", '{"text": "a"}\n{"text": 3}\n', r"p.jsonl:2: text is 3; it must be a text"),
    ("p.jsonl", '{"text": "a"}\n["b"]\n', r"p.jsonl:2: \['b'\] is not an object"),
    ("p.jsonl", '{"text": "a"}\n{"text"\n', r"p.jsonl:2: not JSON"),
    ("p.jsonl", '{"text": "a\\ud800"}\n', r"p.jsonl:1: half a character \(U\+D800\)"),
    ("p.jsonl", '{"id": 1, "text": "a"}\n{"text": "b"}\n', r"p.jsonl:2: no id, but .*p.jsonl:1 has one"),
    ("p.jsonl", '{"id": true, "text": "a"}\n', r"p.jsonl:1: id is True"),
    ("p.csv", "text,strength\na,1.5\n", r"p.csv:2: strength is '1.5'; it goes from 0"),
    ("p.csv", "text,strength\na,nan\n", r"p.csv:2: strength is 'nan'"),
    ("p.csv", "text,strength\na,0.5\n", r"p.csv:2: strength '0.5' without a reference image"),
    (
        "p.csv",
        "text,reference\na,gone.png\n",
        r"p.csv: reference image of prompt 'p-0001' is missing: .*gone.png",
    ),
    (
        "p.xlsx",
        "text\n",
        r"p.xlsx: unknown kind of prompt file '.xlsx'.* known: .tsv, .csv, .jsonl, .json, .txt",
    ),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_bad_file_is_one_line_with_file_and_cure(name, content, message, tmp_path) -> None:
    with pytest.raises(InputError, match=message) as error:
        read_file(write(tmp_path, name, content))
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < len(str(tmp_path)) * 2 + 260


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "red\rblue\r"),
        ("p.txt", "red\nblue\n".encode("utf-16")),
        ("p.tsv", "text\rred\rblue"),
        ("p.tsv", "\ntext\n\nred\n\nblue\n\n"),
        ("p.csv", "text,note\n\nred,x\n,\n\nblue,\n,\n"),
        ("p.csv", b"\xef\xbb\xbftext\r\nred\r\n\r\nblue\r\n"),
        ("p.json", '["red", "blue"]'),
        ("p.json", '[{"prompt": "red"}, {"text": "blue", "note": "x"}]'),
        ("p.jsonl", '{"text": "red"}\n\n{"text": "blue"}\n\n'),
    ],
)
def test_files_as_editors_and_spreadsheets_write_them_are_read(name, content, tmp_path) -> None:
    prompts = read_file(write(tmp_path, name, content))
    assert [(p.id, p.text) for p in prompts] == [("p-0001", "red"), ("p-0002", "blue")]


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(
        InputError, match=r"no prompt file at .*none.tsv; give a .tsv, .csv, .jsonl, .json or .txt"
    ):
        read_file(tmp_path / "none.tsv")


def test_emoji_and_right_to_left_text_stay_as_they_are(tmp_path) -> None:
    texts = [
        "👩🏽‍🚀 on a 🚲",
        "قطة على السطح",
        "\u05d7\u05ea\u05d5\u05dc \u200f\u05d1\u05d9\u05ea",
        "e\u0301 is not é",
        ' "quoted" ',
        "x" * LONGEST_TEXT,
    ]
    got = read_file(write(tmp_path, "Grüße an alle.txt", "\ufeff" + "\r\n".join(texts) + "\r\n"))
    assert [p.text for p in got] == texts
    assert [p.id for p in got][:2] == ["Gr-e-an-alle-0001", "Gr-e-an-alle-0002"]


def test_image_to_image_columns_and_notes_are_read(tmp_path) -> None:
    write(tmp_path, "cat.png", b"not looked into here")
    table = "Prompt,Reference,Strength,note\na cat,cat.png,0.5,hello\na dog,,,\n"
    assert read_file(write(tmp_path, "p.csv", table)) == (
        Prompt(id="p-0001", text="a cat", reference="cat.png", strength=0.5),
        Prompt(id="p-0002", text="a dog"),
    )


def test_columns_of_a_language_are_what_raters_read_there(tmp_path) -> None:
    write(tmp_path, "cat.png", b"not looked into here")
    table = (
        "id,prompt,prompt:de,Text:zh-hant,reference,instruction,instruction:de\n"
        "a,a cat,eine Katze,,,,\nb,a dog,,一隻狗,cat.png,,\nc,red,,,cat.png,make it red,mach es rot\n"
    )
    prompts = read_file(write(tmp_path, "p.csv", table))
    assert [p.translations for p in prompts] == [
        {"de": "eine Katze"},
        {"zh-hant": "一隻狗"},
        {"de": "mach es rot"},
    ]
    as_json = write(tmp_path, "p.jsonl", '{"text": "a cat", "text:de": "eine Katze"}\n')
    assert read_file(as_json)[0].translations == {"de": "eine Katze"}


def test_no_image_depends_on_a_translation() -> None:
    from bench.study.identity import prompt_meaning

    plain = Prompt(id="a", text="a cat")
    assert prompt_meaning(plain) == prompt_meaning(replace(plain, translations={"de": "eine Katze"}))


words = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=30
).filter(str.strip)
idents = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=12).map("a{}".format)
rows = st.lists(
    st.tuples(idents, words, words), min_size=1, max_size=8, unique_by=lambda row: row[0].casefold()
)


@given(rows)
@settings(max_examples=40, deadline=None)
def test_what_another_writer_wrote_is_read_back(tmp_path_factory, table) -> None:
    folder = tmp_path_factory.mktemp("p")
    with (folder / "p.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("id", "text", "category"), *table])
    objects = [dict(zip(("id", "text", "category"), row, strict=True)) for row in table]
    write(folder, "p.jsonl", "".join(json.dumps(each) + "\n" for each in objects))
    expected = tuple(Prompt(id=i, text=text, category=category) for i, text, category in table)
    assert read_file(folder / "p.csv") == expected
    assert read_file(folder / "p.jsonl") == expected


# The choice


def made(sizes: dict[str, int]) -> list[Prompt]:
    return [Prompt(id=f"{c}{i}", text="t", category=c) for c, n in sizes.items() for i in range(n)]


sizes = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(1, 40), min_size=1)


@given(sizes, st.data(), st.integers(0, 2**63))
@settings(max_examples=60, deadline=None)
def test_choice_is_proportional_in_order_and_free_of_the_order_of_the_file(groups, data, seed) -> None:
    pool = made(groups)
    count = data.draw(st.integers(1, len(pool)))
    got = choose(pool, count, seed)
    assert len(got) == count
    assert [p for p in pool if p in got] == list(got)
    found = Counter(p.category for p in got)
    for name, n in groups.items():
        assert abs(found[name] - Fraction(count * n, len(pool))) < 1
    shuffled = random.Random(seed).sample(pool, len(pool))
    assert set(choose(shuffled, count, seed)) == set(got)


def test_shares_are_those_of_hamiltons_method() -> None:
    # Largest remainder, worked by hand: 10 of 26:33:41 has quotas 2.6, 3.3, 4.1 -> 3, 3, 4.
    got = choose(made({"a": 26, "b": 33, "c": 41}), 10, seed=5)
    assert Counter(p.category for p in got) == {"a": 3, "b": 3, "c": 4}


def test_choice_is_the_same_on_every_machine_and_changes_with_the_seed() -> None:
    """Golden: computed from the rule with nothing but hashlib."""
    pool = made({"a": 50})

    def rule(seed: int) -> set[str]:
        return set(
            sorted(
                (p.id for p in pool), key=lambda i: hashlib.sha256(f"{seed}\0prompt\0{i}".encode()).digest()
            )[:7]
        )

    assert rule(0) != rule(1)
    assert {p.id for p in choose(pool, 7, 0)} == rule(0)
    assert {p.id for p in choose(pool, 7, 1)} == rule(1)
    assert choose(pool, 50, 3) == tuple(pool)


def test_every_prompt_of_a_category_is_as_likely() -> None:
    pool = made({"a": 10, "b": 5})
    drawn = Counter(p.id for seed in range(600) for p in choose(pool, 3, seed))
    # 600 draws with chance 1/5: mean 120, standard deviation 9.8; 5 of them either way
    assert all(abs(drawn[p.id] - 120) < 49 for p in pool), drawn


@pytest.mark.parametrize("count", [0, -1, 4])
def test_a_count_that_cannot_be_met_is_refused(count) -> None:
    with pytest.raises(InputError, match=rf"count is {count}; the set has 3 prompts; ask for 1 to 3"):
        choose(made({"a": 3}), count, 0)


def test_limit_takes_the_first() -> None:
    pool = made({"a": 3})
    assert limit(pool, 2) == tuple(pool[:2])
    assert limit(pool, 9) == tuple(pool)
    with pytest.raises(InputError, match="limit is 0"):
        limit(pool, 0)


def test_digest_sees_every_field_and_the_order() -> None:
    pool = made({"a": 3})
    variants = [pool, pool[::-1], pool[:2], [replace(pool[0], challenge="x"), *pool[1:]]]
    assert len({digest(each) for each in variants}) == 4
    assert digest(pool) == digest(tuple(made({"a": 3})))
