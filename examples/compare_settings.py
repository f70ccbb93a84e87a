#!/usr/bin/env python3
"""Which bits and which granularity? Compresses one package with several settings and prints size against quality.

compare_settings.py MODEL.mlpackage [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import swiftcompress.coreml as cto


def main(model: str, folder: Path) -> None:
    print(f"{'bits':>4} {'bits/weight':>12} {'worst SNR':>10} {'size':>10}")
    for nbits in (8, 6, 4, 2):
        config = cto.OptimizationConfig(global_config=cto.OpPalettizerConfig(mode="kmeans", nbits=nbits))
        output = folder / f"{Path(model).stem}-{nbits}bit.mlpackage"
        result = cto.palettize_weights(model, config, output=str(output), progress=False)
        report = result.report.to_dict()
        weights = [record for record in report["weights"] if record["action"] == "palettized"]
        elements = sum(record["bytes_after"] * 8 / record["bits_per_weight"] for record in weights)
        bits_per_weight = sum(record["bytes_after"] * 8 for record in weights) / elements
        worst = min(record["snr_db"] for record in weights)
        print(f"{nbits:>4} {bits_per_weight:>12.3f} {worst:>7.1f} dB {report['package_bytes']['after'] / 1e6:>7.2f} MB")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    if len(sys.argv) == 3:
        main(sys.argv[1], Path(sys.argv[2]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(sys.argv[1], Path(scratch))
