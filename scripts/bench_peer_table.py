"""The results of scripts/bench_peer for people: one comparison as text, many as a Markdown table."""

PHASES = ("step", "sampling", "reference", "update")


def table(result: dict, quiet: float) -> str:
    """One comparison, a line for each phase; `quiet` is the share of the machine that others may use."""
    sides, found = list(result["seconds"]), result["ratios"]
    cell = "{:>12}".format
    rows = [("", [cell(side) for side in sides], cell("trl / ours") if found else "")]
    for phase in PHASES:
        ratio = found and found[phase]
        rows.append((f"{phase}, s", [cell(f"{result['seconds'][side][phase]:.3f}") for side in sides],
                     cell(f"{ratio:.2f}") if ratio else ""))
    rows.append(("peak memory, MB", [cell(f"{result['peak_bytes'][side] / 1e6:.0f}") for side in sides],
                 cell(f"{found['peak_memory']:.2f}") if found else ""))
    rows.append(("mean tokens", [cell(f"{result['mean_tokens'][side]:.1f}") for side in sides], ""))
    for phase in PHASES[1:]:
        cells = [share(result, side, phase) for side in sides]
        if any(cells):
            rows.append((f"{phase}, of peak", [cell(text or "-") for text in cells], ""))
    rows.append(("others' share", [cell(f"{result['others_fraction'][side]:.0%}") for side in sides], ""))
    lines = [f"{name:<18}{''.join(cells)}{ratio}" for name, cells, ratio in rows]
    if found and result["mean_tokens"]["ours"] != result["mean_tokens"]["trl"]:
        lines.append("Ratios are of times per completion token.")
    if result["no_quiet_pair"]:
        lines.append(f"In no pair did others use less than {quiet:.0%} of the machine: these figures are not to be relied on.")
    elif result["pairs_set_aside"]:
        lines.append(f"{result['pairs_set_aside']} of {result['pairs']} pairs set aside: others used more than {quiet:.0%}.")
    return "\n".join(lines)


def share(result: dict, side: str, phase: str) -> str:
    """Percent of the machine's peak, empty where it is not known."""
    value = result.get("share_of_peak", {}).get(side, {}).get(phase)
    return f"{value:.1%}" if value else ""


def markdown(results: list) -> str:
    """All comparisons of a protocol as one table: seconds of trl / of ours = ratio, shares of the peak ours / trl."""
    if not results:
        return ""
    first = results[0]
    versions = ", ".join(f"{name} {first['peer'][name]}" for name in ("trl", "transformers", "torch"))
    machine = f"{first['machine']['processor']}, {first['machine']['cores']} cores"
    lines = [f"{machine}; {versions}; commit {first['commit']}. Seconds of a step and its phases, trl / ours, and their ratio "
             f"(per completion token); medians of {first['pairs']} interleaved pairs, those set aside in which others used too "
             "much of the machine.", "",
             "| shape | task | class | trl | " + " | ".join(PHASES) + " | memory, MB | of peak, ours / trl: sampling | update | "
             "mean tokens, ours / trl | set aside |",
             "|" + "---|" * 13]
    lines += [row(result) for result in results]
    return "\n".join(lines) + "\n"


def row(result: dict) -> str:
    """A line of the Markdown table."""
    cells = [result["shape"], result["name"], result["dtype"], result["peer"]["tuning"]]
    for phase in PHASES:
        ours, theirs, ratio = result["seconds"]["ours"][phase], result["seconds"]["trl"][phase], result["ratios"][phase]
        cells.append(f"{theirs:.3f} / {ours:.3f} = **{ratio:.2f}x**" if ratio else "none")
    ours, theirs = (result["peak_bytes"][side] / 1e6 for side in ("ours", "trl"))
    cells.append(f"{theirs:.0f} / {ours:.0f} = **{result['ratios']['peak_memory']:.2f}x**")
    for phase in ("sampling", "update"):
        cells.append(" / ".join(share(result, side, phase) or "-" for side in ("ours", "trl")))
    cells.append(" / ".join(f"{result['mean_tokens'][side]:.0f}" for side in ("ours", "trl")))
    cells.append("all" if result["no_quiet_pair"] else str(result["pairs_set_aside"]))
    return "| " + " | ".join(cells) + " |"
