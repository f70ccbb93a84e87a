#!/usr/bin/env python3
"""Two passes: see which weights suffer at 4 bits, then give those 8.

keep_sensitive_layers.py MODEL.mlpackage OUTPUT.mlpackage [LEAST_SNR_DB]
"""

import sys
import tempfile
from pathlib import Path

import swiftcompress.coreml as cto


def main(model: str, output: str, least_snr: float) -> None:
    four_bits = cto.OpPalettizerConfig(mode="kmeans", nbits=4)
    eight_bits = cto.OpPalettizerConfig(mode="kmeans", nbits=8)
    with tempfile.TemporaryDirectory() as scratch:
        trial = cto.palettize_weights(
            model, cto.OptimizationConfig(global_config=four_bits), output=str(Path(scratch) / "trial.mlpackage")
        )
    suffering = {
        record["consumer"]
        for record in trial.report.to_dict()["weights"]
        if record["action"] == "palettized" and record["snr_db"] < least_snr
    }
    config = cto.OptimizationConfig(global_config=four_bits, op_name_configs=dict.fromkeys(suffering, eight_bits))
    result = cto.palettize_weights(model, config, output=output)
    print(f"8 bits for: {', '.join(sorted(suffering)) or 'no operation'}")
    print(result.report)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]) if len(sys.argv) == 4 else 20.0)
