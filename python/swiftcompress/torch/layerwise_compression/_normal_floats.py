"""The entries of normal floats, by their bits, in float32.

4 bits: Dettmers et al., "QLoRA: Efficient Finetuning of Quantized LLMs", 2023, arXiv:2305.14314, appendix E. 3 bits: the same
construction, as bitsandbytes has it. coremltools 9.0 uses the same numbers.
"""

import numpy as np

NORMAL_FLOATS = {
    3: np.array([-1.0, -0.4786292, -0.21714179, 0.0, 0.1609302, 0.33791524, 0.562617, 1.0], np.float32),
    4: np.array(
        [
            -1.0,
            -0.6961928009986877,
            -0.5250730514526367,
            -0.39491748809814453,
            -0.28444138169288635,
            -0.18477343022823334,
            -0.09105003625154495,
            0.0,
            0.07958029955625534,
            0.16093020141124725,
            0.24611230194568634,
            0.33791524171829224,
            0.44070982933044434,
            0.5626170039176941,
            0.7229568362236023,
            1.0,
        ],
        np.float32,
    ),
}
for _entries in NORMAL_FLOATS.values():
    _entries.setflags(write=False)
