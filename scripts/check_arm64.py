#!/usr/bin/env python3
"""Compiles the kernels for arm64, and runs them emulated beside this machine's.

The kernels need no library, so the embedded standard library that a Swift toolchain brings is enough to compile them for
arm64 without a Mac: for Apple's object files and for ELF. The machine code must hold vector arithmetic and no fused
multiply-add, which rounds once where x86 rounds twice. With qemu-aarch64 and the libraries of an arm64 Linux
(Debian: apt-get install qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross), Tests/Arm64 runs the kernels on
both and compares the bits.

Exit status: 0 good, 1 not, 3 what is needed is missing (the last line says what).
"""

import platform
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
KERNELS = sorted((ROOT / "Sources/CompressionKernels").rglob("*.swift"))
HARNESS = ROOT / "Tests/Arm64"
COMMON = ["-wmo", "-Ounchecked", "-parse-as-library", "-module-name", "CompressionKernels", "-emit-object"]
EMBEDDED = ["-enable-experimental-feature", "Embedded", "-D", "HARDWARE_HALF"]
TARGETS = {"Linux": "aarch64-none-none-elf", "macOS": "arm64-apple-none-macho"}
FUSED = re.compile(r"\t(fn?m(add|sub)|fml[as])\b")
# `fadd v0.4s, ...` for Linux, `fadd.4s v0, ...` for macOS.
VECTOR = re.compile(r"\t(fadd|fsub|fmul|fdiv|fcvtl|fcvtn|fcmgt|bsl|bit|bif)2?(\.\d+[bhsd])?\t(\{ )?v\d+")
SYSROOT = Path("/usr/aarch64-linux-gnu")


def missing(what: str) -> NoReturn:
    print(what)
    sys.exit(3)


def run(*command: str | Path) -> str:
    result = subprocess.run([str(part) for part in command], check=False, capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"failed: {command[0]} ...\n{result.stdout[-2000:]}\n{result.stderr[-4000:]}")
    return result.stdout


def tool(name: str) -> str:
    """A program of the Swift toolchain, or of the machine."""
    compiler = shutil.which("swiftc")
    if compiler is None:
        missing("no swiftc on PATH")
    beside = Path(compiler).resolve().with_name(name)
    return str(beside) if beside.exists() else shutil.which(name) or missing(f"no {name} beside swiftc or on PATH")


def has_embedded(target: str) -> bool:
    folder = Path(tool("swiftc")).resolve().parent.parent / "lib/swift/embedded"
    return (folder / f"Swift.swiftmodule/{target}.swiftmodule").exists()


def compile_for(system: str, folder: Path) -> Path:
    """The object file of the kernels and the harness, after a look at its instructions."""
    target = TARGETS[system]
    if not has_embedded(target):
        missing(f"this Swift toolchain has no embedded standard library for {target}")
    place = folder / f"{system}.o"
    run("swiftc", "-target", target, *EMBEDDED, *COMMON, "-o", place, *KERNELS, HARNESS / "KernelSums.swift")
    code = run(tool("llvm-objdump"), "--disassemble", "--no-show-raw-insn", place)
    fused, vectors = len(FUSED.findall(code)), len(VECTOR.findall(code))
    print(f"arm64 {system}: {vectors} vector instructions of floating point, {fused} fused multiply-adds")
    if fused or vectors < 300:
        sys.exit("found fused multiply-adds, or hardly any vector instructions: results or speed would differ")
    return place


def sums_emulated(arm: Path, folder: Path) -> str:
    emulator = shutil.which("qemu-aarch64")
    if emulator is None or not (SYSROOT / "lib/libc.a").exists():
        missing("not run: qemu-aarch64 or the libraries of an arm64 Linux are not installed")
    program = folder / "arm64"
    flags = ["--target=aarch64-linux-gnu", "-fuse-ld=lld", "-static"]
    run(tool("clang"), *flags, "-o", program, HARNESS / "main.c", arm, "-lm")
    return run(emulator, program)


def sums_here(folder: Path) -> str:
    machine = ["-Xcc", "-march=x86-64-v2"] if platform.machine() == "x86_64" else []
    kernels, main, program = folder / "here.o", folder / "main.o", folder / "here"
    run("swiftc", *machine, *COMMON, "-o", kernels, *KERNELS, HARNESS / "KernelSums.swift")
    run(tool("clang"), "-c", "-o", main, HARNESS / "main.c")
    run("swiftc", "-o", program, main, kernels, "-lm")
    return run(program)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        objects = {system: compile_for(system, folder) for system in TARGETS}
        emulated, here = sums_emulated(objects["Linux"], folder).split(), sums_here(folder).split()
    different = [number for number, (a, b) in enumerate(zip(emulated, here, strict=True)) if a != b]
    if different or len(here) < 50:
        sys.exit(f"arm64 gives other bits than this machine: {different} of {len(here)} sums of Tests/Arm64")
    print(f"arm64, emulated: the same bits as this machine in {len(here)} sums of results")


if __name__ == "__main__":
    main()
