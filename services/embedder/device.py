"""Which devices there are, and what they compute in their hardware."""

import torch

from services.common.errors import StartupError
from services.embedder.encoder import Precision

CPU = torch.device("cpu")


def devices(setting: str) -> list[torch.device]:
    """`setting` is "cpu", "cuda:N", "cuda" (every GPU) or "auto" (every GPU if there is one, else the CPU)."""
    gpus = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    if setting == "cpu" or (setting == "auto" and not gpus):
        return [CPU]
    wanted = gpus if setting in ("auto", "cuda") else [torch.device(setting)]
    if not wanted or not set(wanted) <= set(gpus):
        raise StartupError(f"device {setting} is not there: torch sees {len(gpus)} GPUs; choose cpu or auto")
    return wanted


def computes_well(device: torch.device, precision: Precision) -> bool:
    """Whether the precision is in the hardware, so that it may pay."""
    if precision == "float32":
        return True
    if device.type == "cuda":
        return precision == "float16" or torch.cuda.is_bf16_supported(including_emulation=False)
    # avx512_bf16 and amx_bf16, and names that end alike on other processors. Half floats are for GPUs.
    capabilities = torch.cpu.get_capabilities()
    return precision == "bfloat16" and any(there for name, there in capabilities.items() if name.endswith("bf16"))
