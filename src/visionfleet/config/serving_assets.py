"""Rules of `serverless.serving` over what lies beside the file: whether the models fit the servers' memory.

They look at data that may be wrong elsewhere, so that one run shows everything. The memory of GPUs is not known here.
"""

from collections.abc import Iterable, Iterator

from visionfleet.config import model_memory
from visionfleet.config.models import Model
from visionfleet.config.pods import CPU_MEMORY_GB
from visionfleet.config.section import entries, peek
from visionfleet.config.serving import Hardware
from visionfleet.config.translate import Finding


def serving_findings(data: object, models: Iterable[tuple[int, Model]]) -> Iterator[Finding]:
    """Models that do not fit, once for each pool: where it names them, else at its memory."""
    pools = [
        (index, pool)
        for index, pool in enumerate(entries(peek(data, "serverless", "serving")))
        if peek(pool, "hardware") == Hardware.CPU
    ]
    sizes = model_memory.model_sizes(models) if pools else {}
    for index, pool in pools:
        memory, named = peek(pool, "memory_gb", default=CPU_MEMORY_GB), peek(pool, "models")
        if not isinstance(memory, int):
            continue
        served = {name: size for name, size in sizes.items() if named is None or name in entries(named)}
        if model_memory.fit(served, memory):
            continue
        need = model_memory.need(served)
        key, rule = "memory_gb", f"leaves {memory} GB to a server, and the models need {need}"
        if named is not None:
            key, rule = "models", f"need {need}; a server of the pool gets {memory} GB"
        fix = f"raise memory_gb, or serve fewer models ({model_memory.largest(served)} is the largest)"
        yield Finding(("serverless", "serving", index, key), "models-too-large", rule, fix)
