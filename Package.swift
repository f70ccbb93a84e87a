// swift-tools-version: 6.2
import PackageDescription

// Two ways in. A plain `swift build` / `swift test` needs no Python. setup.py sets the variables below when it builds
// the extension module: the header folders of the running interpreter, and where the engine library was built.
let pythonInclude = Context.environment["SWIFTCOMPRESS_PYTHON_INCLUDE"]?.split(separator: ":").map(String.init) ?? []
let engineFolder = Context.environment["SWIFTCOMPRESS_ENGINE_FOLDER"]
// A copy of ArgumentParser that needs no Foundation, for the wheel on Linux.
let leanArgumentParser = Context.environment["SWIFTCOMPRESS_ARGUMENT_PARSER"]

// MARK: - CPU variants

// On x86-64 the kernels are built twice: x86-64-v2 (which NumPy's own wheels require) and v3. Sources/CompressionKernelsV3
// holds per-file links to Sources/CompressionKernels; TensorCompression chooses once per process.
#if arch(x86_64)
let baseline: [SwiftSetting] = [.unsafeFlags(["-Xcc", "-march=x86-64-v2"])]
let v3: [SwiftSetting] = [
    .unsafeFlags(["-Xcc", "-march=x86-64-v3"]), .define("HARDWARE_HALF", .when(platforms: [.linux])),
]
#else
// The second build is the same code here and is never chosen; it spares every caller a condition.
let baseline: [SwiftSetting] = [.define("HARDWARE_HALF")]
let v3 = baseline
#endif
let variants: [Target] = [.target(name: "CompressionKernelsV3", swiftSettings: v3)]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")

// MARK: - Products

var products: [Product] = [
    .library(name: "SwiftCompress", targets: ["ModelCompression", "TensorCompression", "CoreMLPackage"]),
    .executable(name: "swiftcompress", targets: ["swiftcompress"]),
    // Everything in one shared library, for the Python wheel: the extension module and the native command share it.
    .library(name: "swiftcompress_engine", type: .dynamic, targets: ["SwiftCompressABI"]),
]

// MARK: - Public targets

var targets: [Target] = [
    .target(
        name: "TensorCompression",
        dependencies: ["CSwiftCompress", "CompressionKernels"] + variants.map { .byName(name: $0.name) }),
    .target(name: "CoreMLPackage", dependencies: ["CSystem", "JSONText"]),
    .target(name: "ModelCompression", dependencies: ["CSystem", "CoreMLPackage", "JSONText", "TensorCompression"]),
    .executableTarget(name: "swiftcompress", dependencies: ["CommandLineTool"]),
]

// MARK: - Implementation

targets += variants
targets += [
    .target(name: "CSwiftCompress"),
    .target(name: "CSystem"),
    .target(name: "JSONText"),
    .target(name: "CompressionKernels", swiftSettings: baseline),
    .target(
        name: "CommandLineTool", dependencies: ["CSwiftCompress", "JSONText", "ModelCompression", argumentParser]),
    .target(
        name: "SwiftCompressABI",
        dependencies: ["CSwiftCompress", "TensorCompression", "ModelCompression", "CommandLineTool"]),
]

// MARK: - Tests

targets += [
    .target(name: "TestSupport", path: "Tests/TestSupport"),
    .testTarget(
        name: "CompressionKernelsTests", dependencies: ["CompressionKernels", "TestSupport"],
        exclude: ["Fixtures"]),
    .testTarget(
        name: "TensorCompressionTests", dependencies: ["TensorCompression", "CompressionKernels", "TestSupport"],
        exclude: ["Fixtures"]),
    .testTarget(name: "JSONTextTests", dependencies: ["JSONText"]),
    .testTarget(name: "CoreMLPackageTests", dependencies: ["CoreMLPackage", "TestSupport"], exclude: ["Fixtures"]),
    .testTarget(
        name: "ModelCompressionTests", dependencies: ["JSONText", "ModelCompression", "TestSupport"],
        exclude: ["Fixtures"]),
    .testTarget(
        name: "CommandLineToolTests",
        dependencies: ["CommandLineTool", "JSONText", "ModelCompression", "TestSupport", "swiftcompress"]),
]

// MARK: - Python extension module

if !pythonInclude.isEmpty, let engineFolder {
    let engine: [LinkerSetting] = [
        .unsafeFlags(["-L\(engineFolder)", "-lswiftcompress_engine"])
    ]
    #if os(macOS)
    let (besideModule, aboveLauncher) = ("@loader_path", "@loader_path/..")
    let onlyC: [LinkerSetting] = [.unsafeFlags(["-Xlinker", "-undefined", "-Xlinker", "dynamic_lookup"])]
    #else
    let (besideModule, aboveLauncher) = ("$ORIGIN", "$ORIGIN/..")
    // No Swift start-up object, which would bring a second copy of the Swift runtime (6 MB) into each of the two.
    let onlyC: [LinkerSetting] = [.unsafeFlags(["-nostartfiles"])]
    #endif
    products += [
        .library(name: "_core", type: .dynamic, targets: ["CPythonModule"]),
        .executable(name: "swiftcompress-launcher", targets: ["CLauncher"]),
    ]
    targets += [
        .systemLibrary(
            name: "CPython", providers: [.apt(["python3-dev", "python3-numpy"]), .brew(["python3", "numpy"])]),
        .target(
            name: "CPythonModule", dependencies: ["CPython"],
            cSettings: [
                .headerSearchPath("../CSwiftCompress/include"), .headerSearchPath("../CPython"),
                .unsafeFlags(pythonInclude.map { "-I\($0)" }),
            ],
            linkerSettings: engine + onlyC + [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", besideModule])]),
        .executableTarget(
            name: "CLauncher", cSettings: [.headerSearchPath("../CSwiftCompress/include")],
            linkerSettings: engine + onlyC + [.unsafeFlags(["-Xlinker", "-rpath", "-Xlinker", aboveLauncher])]),
    ]
}

let package = Package(
    name: "swiftcompress",
    platforms: [.macOS(.v15)],
    products: products,
    dependencies: [
        leanArgumentParser.map { .package(path: $0) }
            ?? .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0")
    ],
    targets: targets,
    swiftLanguageModes: [.v6]
)
