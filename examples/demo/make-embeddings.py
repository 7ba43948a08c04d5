#!/usr/bin/env python3
"""Turn the source text of the Rust crates that the build pins into embeddings, as Parquet files.

Every crate of Cargo.lock that is built for Linux is cut into snippets: a documentation comment with the signature
it describes, or a paragraph of code. A snippet becomes a vector of 192 numbers by hashed TF-IDF and truncated SVD.
The same crates give the same rows. Columns: entityId, embedding, text, source.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

DIMENSION = 192
SEED = 1234
HASHED_FEATURES = 2**17
# Without a bound, Faiss' sources and the constants of libc would be most of the data.
SNIPPETS_PER_CRATE = 8000
LINES_PER_SNIPPET = 14
FILES = 8

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+")
DOCUMENTATION = re.compile(r"\s*(///|//!|/\*\*|\*)")
GENERATED = re.compile(r"automatically generated|@generated", re.IGNORECASE)
END_OF_SIGNATURE = re.compile(r"[{;]\s*$")


class Snippet(NamedTuple):
    """A piece of source text and where it stands."""

    source: str
    text: str


def say(message: str) -> None:
    """Print one line of progress with the time since the start."""
    print(f"[{time.monotonic() - STARTED:5.1f} s] {message}", flush=True)


def crates(repository: Path) -> list[tuple[str, Path]]:
    """Name with version, and folder, of every registry crate that the build uses on Linux."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    command += ["--filter-platform", "x86_64-unknown-linux-gnu"]
    metadata = json.loads(subprocess.check_output(command, cwd=repository))
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    return sorted(
        (f"{package['name']} {package['version']}", Path(package["manifest_path"]).parent)
        for package in metadata["packages"]
        if package["id"] in used and package["source"] is not None
    )


def paragraphs(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines between blank ones, with the number of their first line; a lone line joins the run after it."""
    start, run = 1, []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            if not run:
                start = number
            run.append(line)
        elif len(run) > 1 or number > len(lines):
            if run:
                yield start, run
            run = []


def pieces(first: int, run: list[str]) -> Iterator[tuple[int, list[str]]]:
    """A paragraph cut after the signature that its documentation describes, and then to a bounded length."""
    documented = 0
    while documented < len(run) and DOCUMENTATION.match(run[documented]):
        documented += 1
    end = documented
    if documented:
        while end < len(run) and end < documented + 6:
            end += 1
            if END_OF_SIGNATURE.search(run[end - 1]):
                break
        yield first, run[:end]
    for at in range(end, len(run), LINES_PER_SNIPPET):
        yield first + at, run[at : at + LINES_PER_SNIPPET]


def without_common_indent(lines: list[str]) -> str:
    indent = min(len(line) - len(line.lstrip()) for line in lines)
    return "\n".join(line[indent:].rstrip() for line in lines)


def snippets_of(crate: str, folder: Path) -> Iterator[Snippet]:
    """Every snippet of one crate that says something, in file order."""
    files = [path for path in folder.rglob("*") if path.suffix in {".rs", ".h", ".cpp"} and path.is_file()]
    for path in sorted(files):
        lines = path.read_text(errors="replace").expandtabs(4).splitlines()
        if any(GENERATED.search(line) for line in lines[:5]):
            continue
        for first, run in paragraphs(lines):
            for line, piece in pieces(first, run):
                text = without_common_indent(piece)
                if len({word.lower() for word in WORD.findall(text) if len(word) > 2}) >= 6:
                    yield Snippet(f"{crate} {path.relative_to(folder)}:{line}", text)


def evenly(snippets: list[Snippet], count: int) -> list[Snippet]:
    """At most `count` of them, spread over the whole."""
    if len(snippets) <= count:
        return snippets
    return [snippets[position * len(snippets) // count] for position in range(count)]


def collect(repository: Path, rows: int | None) -> list[Snippet]:
    """The snippets of all crates, each wording once."""
    seen: set[tuple[str, ...]] = set()
    collected: list[Snippet] = []
    all_crates = crates(repository)
    for number, (crate, folder) in enumerate(all_crates, 1):
        fresh = []
        for snippet in snippets_of(crate, folder):
            wording = tuple(words(snippet.text))
            if wording not in seen:
                seen.add(wording)
                fresh.append(snippet)
        kept = evenly(fresh, SNIPPETS_PER_CRATE)
        collected += kept
        if len(kept) >= 1000 or number == len(all_crates):
            say(f"read {number} of {len(all_crates)} crates, {len(collected):,} snippets ({crate}: {len(kept):,})")
    return collected if rows is None else evenly(collected, rows)


def words(text: str) -> list[str]:
    """Identifiers fall apart at underscores and capitals: `read_exactAt` gives read, exact, at."""
    return [word.lower() for word in WORD.findall(text)]


def embed(snippets: list[Snippet]) -> np.ndarray:
    """One float32 vector a snippet."""
    hashing = HashingVectorizer(analyzer=words, n_features=HASHED_FEATURES, alternate_sign=False, norm=None)
    counts = hashing.transform(snippet.text for snippet in snippets)
    say(f"hashed {counts.nnz:,} words into {HASHED_FEATURES:,} features")
    weights = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    say(f"truncated SVD to {DIMENSION} dimensions, which takes up to half a minute")
    reduction = TruncatedSVD(DIMENSION, n_iter=4, random_state=SEED)
    vectors = reduction.fit_transform(weights).astype(np.float32)
    say(f"the {DIMENSION} dimensions keep {reduction.explained_variance_ratio_.sum():.0%} of the variance")
    return vectors


def entity_id(snippet: Snippet) -> int:
    """A positive 63-bit number that depends on nothing but the snippet."""
    digest = hashlib.sha256(f"{snippet.source}\n{snippet.text}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def write(snippets: list[Snippet], vectors: np.ndarray, output: Path) -> None:
    """Parquet files under a temporary name, which becomes `output` when all are there."""
    kept = np.flatnonzero(np.linalg.norm(vectors, axis=1) > 1e-6)
    ids = [entity_id(snippets[row]) for row in kept]
    if len(set(ids)) != len(ids):
        raise SystemExit("two snippets have the same id")
    unfinished = output.with_name(output.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(len(kept)), FILES)):
        rows = kept[part]
        table = pa.table(
            {
                "entityId": pa.array([ids[position] for position in part], pa.int64()),
                "embedding": pa.array(list(vectors[rows]), pa.list_(pa.float32())),
                "text": pa.array([snippets[row].text for row in rows]),
                "source": pa.array([snippets[row].source for row in rows]),
            }
        )
        pq.write_table(table, unfinished / f"part-{number:05}.parquet")
    shutil.rmtree(output, ignore_errors=True)
    unfinished.rename(output)
    dropped = f" ({len(snippets) - len(kept)} all-zero rows dropped)" if len(kept) < len(snippets) else ""
    say(f"wrote {len(kept):,} rows{dropped} to {FILES} Parquet files in {output}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the Parquet files; replaced")
    parser.add_argument("--rows", type=int, help="keep only so many snippets, spread over all crates")
    arguments = parser.parse_args()
    snippets = collect(Path(__file__).resolve().parents[2], arguments.rows)
    if not snippets:
        sys.exit("no source text found")
    write(snippets, embed(snippets), arguments.output)


if __name__ == "__main__":
    STARTED = time.monotonic()
    main()
