"""The page's sections on growth and on the server, each from one part's figures."""

from __future__ import annotations

from typing import Any

from tables import Table

Found = Any


def growth(found: Found) -> str:
    out = Table("", "method", "clients", "a round", "parameters", "groups", "start, s", "round, CPU s", "peak MiB")
    for row in found["rows"]:
        more = [f"{row[name]:,}" if name in row else "" for name in ("parameters", "groups")]
        took = [f"left out: {row.get('left_out')}", "", ""]
        if "seconds" in row:
            took = [f"{row['start_s']:.1f}", f"{row['seconds']:.4f}", f"{row['peak_pss_MiB']:.0f}"]
        out.add(row["name"], row["method"], f"{row['clients']:,}", row["cohort"], *more, *took)
    slopes = "; ".join(f"clients^{value:+.3f} ({name})" for name, value in found["slopes"].items())
    head = "Medians of rounds without evaluation, one worker; start is the process's CPU time up to round one."
    return f"{head} A round's time grows as {slopes}.\n\n{out}"


def dphase(found: Found) -> str:
    steps = Table("generator", "teachers", "its own step", "generator step", "student, fresh", "student, cached")
    for row in found["steps"]:
        times = [f"{row[name]:.1f}" for name in ("alone", "g_step", "s_fresh", "s_cached")]
        steps.add(row["generator"], row["k"], *times)
    rounds = Table("family", "clients' training, s", "D-phase, s", "share")
    for name, row in found["round"].items():
        share = f"{row['phase'] / row['clients']:.1%}"
        rounds.add(name, f"{row['clients'] / 1000:.2f}", f"{row['phase'] / 1000:.2f}", share)
    row = found["round"]["disue"]
    words = (
        f"Of the moments' time, one pass over the clients' data is {row['one_pass'] / row['clients']:.1%} of their "
        f"training, both are {row['passes'] / row['clients']:.1%}; sums and solve "
        f"{row['sums_and_solve'] / row['clients']:.2%}."
    )
    head = "CPU milliseconds, LeNet, batch 32."
    return f"{head}\n\n{steps}\nAt default settings, beside a round of W2:\n\n{rounds}\n{words}\n"


def evaluation(found: Found) -> str:
    names = list(found["passes"][0]["micro"])
    out = Table("µs a sample, by batch", *names)
    for row in found["passes"]:
        times = [f"{row['micro'][name]:.1f}" for name in names]
        out.add(row["model"], *times[:-1], f"{times[-1]} (batch {row['own_batch']})")
    run = found["run"]
    words = (
        f"A round of DisUE with four groups on W2: local {run['seconds_local']:.2f} s, server "
        f"{run['seconds_server']:.2f} s, expert {run['seconds_expert']:.2f} s; an evaluation on 3,000 images "
        f"{run['evaluation']:.2f} s. In 200 rounds {run['evaluations']} evaluations are due at the default cadence: "
        f"{run['share']:.1%} of the run, reckoned from {run['rounds_run']} that were run."
    )
    return f"{out}\n{words}\n"


def similarity(found: Found) -> str:
    out = Table("", "how", "clients", "numbers", "CPU s", "ms a client", "added MiB", "rms error of the cosine")
    for row in found:
        if "left_out" in row:
            out.add(
                row["case"], row["how"], f"{row['n']:,}", f"{row['d']:,}", "left out: " + row["left_out"], "", "", ""
            )
            continue
        ms, rms = (f"{row[name]:.{digits}f}" if name in row else "" for name, digits in (("ms", 2), ("rms", 3)))
        out.add(
            row["case"],
            row["how"],
            f"{row['n']:,}",
            f"{row['d']:,}",
            f"{row['seconds']:.2f}",
            ms,
            f"{row['added']:.0f}",
            rms,
        )
    return str(out)


def store(found: Found) -> str:
    out = Table("memories", "read, ms", "write, ms", "save, ms", "MiB on disk")
    for name in ("RAM", "disk"):
        row = found[name]
        times = [f"{row[key]:.1f}" for key in ("read_ms", "write_ms", "save_ms")]
        out.add(name, *times, f"{row['disk_bytes'] / 2**20:,.0f}")
    return f"{found['clients']:,} clients with {found['d']:,} numbers each, {found['cohort']} of them a round.\n\n{out}"


def scaffold(found: Found) -> str:
    out = Table("memories", "seconds", "round, s", "peak MiB", "MiB on disk", "SHA-256 of the end")
    for name, row in found["rows"].items():
        figures = [
            f"{row['seconds']:.1f}",
            f"{row['round_s']:.3f}",
            f"{row['peak_pss_MiB']:.0f}",
            f"{row['memory_MiB']:.1f}",
        ]
        out.add(name, *figures, f"`{row['sha256'][:16]}`")
    same = len({row["sha256"] for row in found["rows"].values()}) == 1
    words = "the same bits three times" if same else "**not the same bits**"
    head = f"SCAFFOLD, {found['clients']} clients, {found['rounds']} rounds; killed half-way and resumed: {words}."
    return f"{head}\n\n{out}"


def overhead(found: Found) -> str:
    parts = list(next(iter(found.values())))
    out = Table("CPU µs, one client", *parts)
    for name, row in found.items():
        out.add(name, *(f"{row[part]:,.0f}" for part in parts))
    return str(out)
