"""The results of scripts/gpu_check as Markdown."""


def markdown(result: dict) -> str:
    """What was found, as far as things have come."""
    parts = {part["name"]: part for part in result["parts"]}
    lines = [f"# gpu_check on {result['gpu'] or result['device']}", "", "| part | result | seconds | |", "|---|---|---|---|"]
    lines += [f"| {part['name']} | {part['status']} | {part['seconds']} | {remark(part)} |" for part in result["parts"]]
    shapes = [name.split(" ", 1)[1] for name in parts if name.startswith("sampling ")]
    for shape in shapes:
        lines += ["", *sampling(shape, parts, result)]
        lines += ["", *update(shape, parts, result)]
    return "\n".join(lines) + "\n"


def remark(part: dict) -> str:
    """What there is to say of a part beside its tables."""
    words = [part["why"].replace("\n", " ").replace("|", "/")[:200]] if part.get("why") else []
    for model, gaps in part.get("largest_difference_nats", {}).items():
        words.append(f"{model}: {max(gaps.values()):.1e} nats")
    if "equal_tokens" in part:
        words.append(f"{part['equal_tokens']} tokens equal")
    if part.get("gap_between_sampler_and_trainer") is not None:
        words.append(f"logprob_gap/max {part['gap_between_sampler_and_trainer']:.1e}")
    if "first_loss_against_cpu" in part:
        first, largest = part["first_loss_against_cpu"], part["largest_loss_against_cpu"]
        words.append(f"losses against the CPU's: {first:.1e} at first, {largest:.1e} at most")
    if part.get("larger_failed"):
        why = part["larger_failed"].replace("\n", " ")[:120]
        words.append(f"micro-batch of {part['micro_batch_tokens']} tokens, because: {why}")
    if part.get("gpu_memory_peak"):
        words.append(f"{part['gpu_memory_peak'] / 1e9:.1f} GB on the GPU at most")
    return "; ".join(words)


def sampling(shape: str, parts: dict, result: dict) -> list:
    """Decoding, ours beside transformers'."""
    peers = parts.get(f"transformers {shape}", {}).get("rows", {})
    lines = [f"Sampling, {shape} shape, bfloat16, {result['tokens']} tokens behind prompts of 32:", "",
             "| rows | tokens/s | ms a step | times the floor | of peak | transformers, tokens/s | ratio |",
             "|---|---|---|---|---|---|---|"]
    for phase in parts.get(f"sampling {shape}", {}).get("phases", []):
        floor = phase["floor"]
        times = floor["step_seconds"] / max(floor["bytes_seconds"], floor["flops_seconds"])
        theirs = peers.get(str(phase["rows"]), {}).get("tokens_per_second")
        peer = f"{theirs:,.0f} | {phase['tokens_per_second'] / theirs:.1f}" if theirs else "- | -"
        lines.append(f"| {phase['rows']} | {phase['tokens_per_second']:,.0f} | {floor['step_seconds'] * 1e3:.2f} | {times:.1f} | "
                     f"{phase['share_of_peak']:.1%} | {peer} |")
    return lines


def update(shape: str, parts: dict, result: dict) -> list:
    """Training; utilisation is counted without anything computed twice."""
    part, sheet = parts.get(f"update {shape}", {}), result["data_sheet_bfloat16_flops"]
    lines = [f"Update, {shape} shape, bfloat16, {part.get('micro_batch_tokens', '?')} tokens a micro-batch:", "",
             "| phase | seconds | tokens/s | TFLOP/s | of libtorch's matrix product | of the data sheet |",
             "|---|---|---|---|---|---|"]
    for phase in part.get("phases", []):
        rate, share = phase["matrix_flops_per_second"], phase["share_of_peak"]
        of_sheet = f"{rate / sheet:.1%}" if sheet and rate else "-"
        tokens = f"{phase['tokens_per_second']:,.0f}" if phase["tokens"] else "-"
        # The optimiser has no matrix product.
        rates = f"{tokens} | {rate / 1e12:.2f} | {share:.1%} | {of_sheet}" if share else "- | - | - | -"
        lines.append(f"| {phase['name']} | {phase['seconds']:.4f} | {rates} |")
    return lines
