#!/usr/bin/env python3
"""Open a finished index with the stock faiss-cpu and show what it finds and how often it is right.

Prints the nearest neighbours of a few rows as text, and recall@10 against exact search for several nprobe; draws
the recall as recall.png beside the index. A query is a row of the data itself, so its own entry is left out of
what the index and the exact search return.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import time
from pathlib import Path
from typing import NamedTuple

import faiss
import matplotlib
import numpy as np
import pyarrow.parquet as pq

matplotlib.use("Agg")
import matplotlib.pyplot as plt

SEED = 20
NEIGHBOURS = 10
SHOWN_QUERIES = 10
SHOWN_NEIGHBOURS = 3
NPROBES = (1, 4, 16, 64)

COMMENT_MARK = re.compile(r"^\s*(//[/!]?|/\*\*?|\*/?)\s?")
NOT_PROSE = re.compile(r"\s*(#[ [].*|```.*|\W*)$")


class Rows(NamedTuple):
    """The data that the index was built from."""

    ids: np.ndarray
    vectors: np.ndarray
    texts: list[str]
    sources: list[str]


class Recall(NamedTuple):
    """What searching at one nprobe gave."""

    nprobe: int
    recall: float
    milliseconds: float


def read_rows(data: Path) -> Rows:
    """All rows, with their vectors normalised, because the index was built for cosine."""
    table = pq.read_table(data)
    flat = table["embedding"].combine_chunks().values.to_numpy()
    vectors = np.array(flat.reshape(table.num_rows, -1), np.float32)
    faiss.normalize_L2(vectors)
    return Rows(table["entityId"].to_numpy(), vectors, table["text"].to_pylist(), table["source"].to_pylist())


def without_self(ids: np.ndarray, own: np.ndarray, count: int) -> np.ndarray:
    """The first `count` ids of every row that are not the row's own."""
    order = np.argsort(ids == own[:, None], axis=1, kind="stable")
    return np.take_along_axis(ids, order, axis=1)[:, :count]


def exact_neighbours(rows: Rows, queries: np.ndarray) -> np.ndarray:
    """The true nearest ids of some rows."""
    exact = faiss.IndexFlatIP(rows.vectors.shape[1])
    exact.add(rows.vectors)
    _, positions = exact.search(rows.vectors[queries], NEIGHBOURS + 1)
    return without_self(rows.ids[positions], rows.ids[queries], NEIGHBOURS)


def measure_recall(index: faiss.Index, rows: Rows, queries: np.ndarray, truth: np.ndarray) -> list[Recall]:
    """Recall@10 and time per query, for every nprobe that the index has lists for."""
    inverted_lists = faiss.extract_index_ivf(index)
    measured = []
    for nprobe in sorted({min(nprobe, inverted_lists.nlist) for nprobe in NPROBES}):
        inverted_lists.nprobe = nprobe
        started = time.perf_counter()
        _, found = index.search(rows.vectors[queries], NEIGHBOURS + 1)
        milliseconds = (time.perf_counter() - started) * 1000 / len(queries)
        found = without_self(found, rows.ids[queries], NEIGHBOURS)
        hits = sum(np.intersect1d(a, b).size for a, b in zip(found, truth, strict=True))
        measured.append(Recall(nprobe, hits / truth.size, milliseconds))
    return measured


def print_line(line: str, width: int) -> None:
    """One line of the terminal; what does not fit is cut."""
    print(line if len(line) <= width else line[: width - 1] + "…")


def print_text(text: str, indent: str, lines: int, width: int) -> None:
    """The first lines of a snippet that say something, without the marks of a comment."""
    plain = [COMMENT_MARK.sub("", line) for line in text.splitlines()]
    kept = [line for line in plain if NOT_PROSE.match(line) is None]
    for line in kept[:lines]:
        print_line(indent + line, width)


def print_neighbours(index: faiss.Index, rows: Rows, width: int) -> None:
    """Rows spread over the data, each with the nearest other rows that the index returns."""
    faiss.extract_index_ivf(index).nprobe = max(NPROBES)
    prose = [row for row, text in enumerate(rows.texts) if text.lstrip().startswith("///")] or range(len(rows.ids))
    queries = np.array([prose[len(prose) * (2 * n + 1) // (2 * SHOWN_QUERIES)] for n in range(SHOWN_QUERIES)])
    similarities, found = index.search(rows.vectors[queries], SHOWN_NEIGHBOURS + 1)
    row_of = {int(entity): row for row, entity in enumerate(rows.ids)}
    for number, query in enumerate(queries):
        print(f"\n── query {number + 1} ".ljust(width + 1, "─"))
        print_line(rows.sources[query], width)
        print_text(rows.texts[query], "  ", 4, width)
        others = [
            (similarity, row_of[int(entity)])
            for similarity, entity in zip(similarities[number], found[number], strict=True)
            if entity >= 0 and entity != rows.ids[query]
        ]
        for similarity, row in others[:SHOWN_NEIGHBOURS]:
            print_line(f"  {similarity:.3f}  {rows.sources[row]}", width)
            print_text(rows.texts[row], "           ", 3, width)
            print_line(f"           id {rows.ids[row]}", width)


def print_recall(measured: list[Recall], queries: int) -> None:
    print(f"\nrecall@{NEIGHBOURS} of {queries:,} queries, against exact search\n")
    print("  nprobe   recall@10   ms a query")
    for nprobe, recall, milliseconds in measured:
        print(f"  {nprobe:6}   {recall:9.3f}   {milliseconds:10.3f}   {'█' * round(recall * 30)}")


def draw_recall(measured: list[Recall], note: str, output: Path) -> None:
    figure, axes = plt.subplots(figsize=(7, 4.6), dpi=200)
    nprobes = [point.nprobe for point in measured]
    recalls = [point.recall for point in measured]
    axes.plot(nprobes, recalls, marker="o", color="#1f5fa8", linewidth=2)
    for nprobe, recall in zip(nprobes, recalls, strict=True):
        axes.annotate(f"{recall:.2f}", (nprobe, recall), (0, 9), textcoords="offset points", ha="center")
    axes.set_xscale("log", base=2)
    axes.set_xticks(nprobes, [str(nprobe) for nprobe in nprobes])
    axes.minorticks_off()
    axes.margins(x=0.08)
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("nprobe: lists searched per query (log scale)")
    axes.set_ylabel(f"recall@{NEIGHBOURS}")
    axes.set_title(f"Recall@{NEIGHBOURS} against exact search", loc="left", fontweight="bold")
    axes.grid(axis="y", color="#dddddd")
    axes.spines[["top", "right"]].set_visible(False)
    figure.text(0.02, 0.02, note, fontsize=7.5, color="#555555", linespacing=1.4)
    figure.tight_layout(rect=(0, 0.07, 1, 1))
    figure.savefig(output)
    plt.close(figure)


def describe(directory: Path) -> str:
    """The factory string that the build's manifest states, if there is one."""
    manifest = directory / "faiss.manifest.json"
    if not manifest.exists():
        return "index"
    return str(json.loads(manifest.read_text()).get("factoryString", "index"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--index", type=Path, required=True, help="folder with faiss.index and _SUCCESS")
    parser.add_argument("--data", type=Path, required=True, help="folder with the Parquet files of make-embeddings.py")
    parser.add_argument("--queries", type=int, default=1000, help="rows sampled to measure recall (default 1000)")
    parser.add_argument(
        "--lowest-recall", type=float, help="exit with 1 when the recall at the largest nprobe is lower"
    )
    arguments = parser.parse_args()
    if not (arguments.index / "_SUCCESS").exists():
        sys.exit(f"{arguments.index} has no _SUCCESS: the build has not finished")

    faiss.omp_set_num_threads(len(os.sched_getaffinity(0)))
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    file = arguments.index / "faiss.index"
    index = faiss.read_index(str(file))
    rows = read_rows(arguments.data)
    if index.ntotal != len(rows.ids):
        sys.exit(f"{file} has {index.ntotal:,} rows, the data {len(rows.ids):,}")
    print(f"faiss-cpu {faiss.__version__} opened {file}")
    print(f"{index.ntotal:,} vectors of {index.d} dimensions in {file.stat().st_size / 2**20:.1f} MiB")

    print_neighbours(index, rows, width)

    queries = np.random.default_rng(SEED).choice(len(rows.ids), min(arguments.queries, len(rows.ids)), replace=False)
    measured = measure_recall(index, rows, queries, exact_neighbours(rows, queries))
    print_recall(measured, len(queries))
    note = f"{describe(arguments.index)}, cosine; {index.ntotal:,} snippets of Rust and C++ source text, "
    note += f"{index.d} dimensions.\n"
    note += f"{len(queries):,} queries, own row left out. Searched by faiss-cpu {faiss.__version__}."
    picture = arguments.index / "recall.png"
    draw_recall(measured, note, picture)
    print(f"\npicture: {picture}")
    if arguments.lowest_recall is not None and measured[-1].recall < arguments.lowest_recall:
        sys.exit(f"recall {measured[-1].recall:.3f} at nprobe {measured[-1].nprobe} is below {arguments.lowest_recall}")


if __name__ == "__main__":
    main()
