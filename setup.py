"""Builds the wheel's native parts with SwiftPM; everything else about the project is in pyproject.toml.

Three files go into the package, all built from Package.swift:

    libswiftcompress_engine.so   all Swift code with the Swift runtime in it; exports the C ABI (swc_*) and nothing else
    _core.abi3.so                the extension module, C only
    bin/swiftcompress            the native command, a few lines of C

SWIFT names another `swift` than the one on PATH.

On Linux the engine holds no Foundation, which would add 2.4 MB to the wheel's 3.6: our own code does not use it, and
ArgumentParser, which does in one small file, is built from a copy with that file replaced (`lean_argument_parser`).
"""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
MACOS = sys.platform == "darwin"
LIBRARY_SUFFIX = ".dylib" if MACOS else ".so"
ENGINE = f"libswiftcompress_engine{LIBRARY_SUFFIX}"

PARSER = "swift-argument-parser"
PARSER_FOUNDATION = "ArgumentParser/Utilities/Foundation.swift"  # the only file of ArgumentParser with Foundation in it
# SHA-256 of that file, in the releases of which scripts/argument_parser/Foundation.swift replaces every declaration. For a
# new one: compare, adapt the replacement, add it here.
KNOWN_PARSER_FOUNDATIONS = {
    "84a93a23fbd20041ad236f4c6ed7056a9e488e4945563d727815313090e8e2ef",  # 1.8.2
}


class SwiftBuild(build_ext):
    """Builds the engine first, then what links to it, and puts all three files into the package."""

    def build_extension(self, ext: Extension) -> None:
        self.check_version()
        scratch = ROOT / "build" / "swiftpm"  # one for every Python: only the C module differs between them
        scratch.mkdir(parents=True, exist_ok=True)
        # For every product: SwiftPM would otherwise begin anew with another graph of packages.
        parser = {} if MACOS else self.lean_argument_parser(scratch.with_name("packages"))
        with self.pins_kept():
            self.build_products(scratch, parser)
        built = scratch / "release"
        module = Path(self.get_ext_fullpath(ext.name))
        self.install(built / f"lib_core{LIBRARY_SUFFIX}", module)
        self.install(built / ENGINE, module.parent / ENGINE)
        self.install(built / "swiftcompress-launcher", module.parent / "bin" / "swiftcompress")

    def build_products(self, scratch: Path, parser: dict[str, str]) -> None:
        self.swift_build(scratch, "swiftcompress_engine", self.engine_flags(scratch), parser)
        # NumPy's own headers first: Debian keeps a link to an older NumPy's among Python's.
        include = dict.fromkeys([numpy.get_include(), sysconfig.get_path("include"), sysconfig.get_path("platinclude")])
        python = parser | {
            "SWIFTCOMPRESS_PYTHON_INCLUDE": os.pathsep.join(include),
            "SWIFTCOMPRESS_ENGINE_FOLDER": str(scratch / "release"),
        }
        for product in ("_core", "swiftcompress-launcher"):
            self.swift_build(scratch, product, self.link_flags(), python)

    @staticmethod
    @contextmanager
    def pins_kept() -> Iterator[None]:
        """Leave Package.resolved as it is: SwiftPM drops what it says of a package that a folder takes the place of."""
        file = ROOT / "Package.resolved"
        before = file.read_bytes() if file.exists() else None
        try:
            yield
        finally:
            if before is not None:
                file.write_bytes(before)

    def swift_build(self, scratch: Path, product: str, flags: list[str], variables: dict[str, str]) -> None:
        self.swift("build", scratch, "--configuration", "release", "--product", product, *flags, variables=variables)

    def swift(self, command: str, scratch: Path, *arguments: str, variables: dict[str, str] | None = None) -> None:
        swift = os.environ.get("SWIFT") or shutil.which("swift")
        if swift is None:
            raise SystemExit("swiftcompress is built with Swift 6.3 or later: no `swift` on PATH (or in $SWIFT)")
        line = [swift, command, "--package-path", str(ROOT), "--scratch-path", str(scratch), *arguments]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("SWIFTCOMPRESS_")}
        subprocess.run(line, env=environment | (variables or {}), check=True)

    def lean_argument_parser(self, packages: Path) -> dict[str, str]:
        """Copy the ArgumentParser that SwiftPM resolves, without Foundation; return the variable that names the copy.

        Foundation cannot be linked in part: its objects have one code section per source file, and from the JSON coder
        every file is reached. An ArgumentParser that is not known is built as it is, and the wheel is larger.
        """
        self.swift("package", packages, "resolve")
        source = packages / "checkouts" / PARSER / "Sources"
        contents = {
            str(file.relative_to(source)): file.read_bytes()
            for module in ("ArgumentParser", "ArgumentParserToolInfo")
            for file in (source / module).rglob("*.swift")
        }
        users = {name for name, text in contents.items() if re.search(rb"\bimport +Foundation", text)}
        found = hashlib.sha256(contents.get(PARSER_FOUNDATION, b"")).hexdigest()
        if users != {PARSER_FOUNDATION} or found not in KNOWN_PARSER_FOUNDATIONS:
            print("setup.py: unknown ArgumentParser; the wheel will hold Foundation (2.4 MB)", file=sys.stderr)
            return {}
        ours, writer = ROOT / "scripts" / "argument_parser", ROOT / "Sources" / "JSONText" / "JSONWriter.swift"
        contents[PARSER_FOUNDATION] = (ours / "Foundation.swift").read_bytes()
        contents["ArgumentParser/Utilities/JSONWriter.swift"] = writer.read_bytes()
        copy = ROOT / "build" / "lean" / PARSER  # SwiftPM knows a package by the name of its folder
        tree = {f"Sources/{name}": text for name, text in contents.items()}
        self.write_tree(copy, tree | {"Package.swift": (ours / "Package.swift").read_bytes()})
        return {"SWIFTCOMPRESS_ARGUMENT_PARSER": str(copy)}

    @staticmethod
    def write_tree(folder: Path, contents: dict[str, bytes]) -> None:
        """Bring the Swift files in `folder` to `contents`; what is the same stays, so that it is not built again."""
        for file in folder.rglob("*.swift"):
            if str(file.relative_to(folder)) not in contents:
                file.unlink()
        for name, text in contents.items():
            file = folder / name
            if not file.exists() or file.read_bytes() != text:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(text)

    def link_flags(self) -> list[str]:
        """Make every product without symbol table, and without a Swift library to look for at run time.

        lld, which comes with the toolchain, writes the smallest output; Swift finds its metadata between section marks,
        which it must keep.
        """
        if MACOS:
            return []
        linker = ["-Xswiftc", "-use-ld=lld", "-Xlinker", "-O2", "-Xlinker", "-z", "-Xlinker", "nostart-stop-gc"]
        return ["-Xswiftc", "-static-stdlib", "-Xlinker", "-s", *linker]

    def engine_flags(self, scratch: Path) -> list[str]:
        """Export the C ABI alone from the engine, so that no Swift symbol meets another library's in one process."""
        exports = scratch / "exports"
        if MACOS:
            exports.write_text("_swc_*\n")
            return ["-Xlinker", "-exported_symbols_list", "-Xlinker", str(exports)]
        exports.write_text("{ global: swc_*; local: *; };\n")
        return [*self.link_flags(), "-Xlinker", f"--version-script={exports}"]

    @staticmethod
    def install(source: Path, target: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)  # never write into a file that a running process has mapped
        shutil.copy2(source, target)

    def check_version(self) -> None:
        header = (ROOT / "Sources/CSwiftCompress/include/swiftcompress.h").read_text()
        found = re.search(r'#define SWC_VERSION "(.*)"', header)
        if found is None or found[1] != self.distribution.get_version():
            raise SystemExit(f"SWC_VERSION in swiftcompress.h is not pyproject's {self.distribution.get_version()}")

    def native_files(self, ext: Extension) -> list[Path]:
        """Where the files of `ext` lie, relative to the folder that holds the package."""
        package = Path(*ext.name.split(".")[:-1])
        return [Path(self.get_ext_filename(ext.name)), package / ENGINE, package / "bin" / "swiftcompress"]

    def get_outputs(self) -> list[str]:
        return [str(Path(self.build_lib) / file) for ext in self.extensions for file in self.native_files(ext)]

    def copy_extensions_to_source(self) -> None:
        """For `pip install -e .` and `build_ext --inplace`."""
        for ext in self.extensions:
            for file in self.native_files(ext):
                self.install(Path(self.build_lib) / file, ROOT / "python" / file)

    def get_output_mapping(self) -> dict[str, str]:
        if not self.inplace:
            return {}
        files = [file for ext in self.extensions for file in self.native_files(ext)]
        return {str(Path(self.build_lib) / file): str(ROOT / "python" / file) for file in files}


setup(
    ext_modules=[Extension("swiftcompress._core", sources=[], py_limited_api=True)],
    cmdclass={"build_ext": SwiftBuild},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
