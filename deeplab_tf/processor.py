"""What this machine's processor can do, told without TensorFlow."""

import os

import numpy as np

_NARROW = ("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2")


def has_avx512() -> bool:
    """Whether the CPU has AVX-512 as servers have it since 2017 (F, BW, DQ and VL)."""
    sets = np.show_config(mode="dicts")["SIMD Extensions"]
    # The second name is numpy's from 2.4 on.
    return bool({"AVX512_SKX", "X86_V4"} & {*sets["baseline"], *sets["found"]})


def onednn_has_avx512() -> bool:
    """Whether oneDNN uses AVX-512 here; `ONEDNN_MAX_CPU_ISA` may forbid it."""
    return has_avx512() and os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper() not in _NARROW
