"""Where networks run."""

import os


def choose(name: str = "auto", threads: int | None = None) -> str:
    """The device that networks compute on, "cpu" or "cuda"; "auto" takes a GPU where there is one.

    Arithmetic is made repeatable.  threads: processor threads of torch.
    RuntimeError when "cuda" is asked for and there is none.
    """
    import torch  # here: methods without a network do without it, and it takes seconds to import

    if threads is not None:
        torch.set_num_threads(threads)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise RuntimeError("device: cuda was asked for, but torch finds no GPU; set device: auto or cpu")
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
    return name


def precision(name: str, device: str) -> str:
    """The precision of a network's encoder: "auto" is bfloat16 where the device multiplies it faster, else float32."""
    if name != "auto":
        return name
    import torch

    if device == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float32"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if able.get("amx_bf16") or able.get("avx512_bf16") else "float32"
