// swift-tools-version: 6.0
import PackageDescription

// The manifest of the wheel's ArgumentParser: the two modules of the library alone. See setup.py.
let package = Package(
    name: "swift-argument-parser",
    products: [.library(name: "ArgumentParser", targets: ["ArgumentParser"])],
    targets: [
        .target(name: "ArgumentParser", dependencies: ["ArgumentParserToolInfo"]),
        .target(name: "ArgumentParserToolInfo"),
    ]
)
