import Foundation
import XCTest

@testable import CoreMLPackage

/// What is at the target before, during and after a save, and what is left when it fails.
final class SavingTests: FolderTestCase {
    private let manager = FileManager.default

    private func write(_ text: String, _ path: String) throws {
        try Data(text.utf8).write(to: URL(fileURLWithPath: path))
    }

    // MARK: - Targets

    func testSavingOverAnotherPackageReplacesAllOfIt() throws {
        let output = try copy("pipeline", as: "out.mlpackage")
        try write("extra", output + "/Data/extra.txt")
        try Fixtures.open("garbage").save(to: output + "/")
        XCTAssertEqual(try Fixtures.contents(output), try Fixtures.contents(Fixtures.path("garbage")))
        XCTAssertEqual(try names(folder), ["out.mlpackage"])
    }

    func testSavingOverTheInput() throws {
        let path = try copy("garbage")
        let package = try ModelPackage(path: path)
        let operations = package.model.programs[0].functions[0].block!.operations
        let writer = try PackageWriter(package, output: path)
        try writer.replace(operationAt: operations[0].range, with: [.const("one", .int32(5))])
        try writer.finish()
        // The opened package still reads what it was opened from.
        let value = try XCTUnwrap(operations[1].attribute("val"))
        XCTAssertEqual(try package.tensorBytes(of: value).bindMemory(to: UInt16.self).first, 1000)
        let saved = try ModelPackage(path: path).model.programs[0].functions[0].block!.operations
        XCTAssertEqual(saved[0].attribute("val")?.integer, 5)
        XCTAssertEqual(try names(folder), ["in.mlpackage"])
    }

    func testOnlyPackagesAreReplaced() throws {
        let package = try Fixtures.open("ios15")
        try manager.createDirectory(atPath: folder + "/folder.mlpackage", withIntermediateDirectories: true)
        try write("mine", folder + "/folder.mlpackage/mine.txt")
        try write("mine", folder + "/file.mlpackage")
        try manager.createSymbolicLink(atPath: folder + "/link.mlpackage", withDestinationPath: "folder.mlpackage")
        let before = try names(folder)
        for name in ["folder", "file", "link"] {
            assertThrows(.exists) { try package.save(to: "\(folder)/\(name).mlpackage") }
        }
        for name in ["out", "out.mlmodel", ".mlpackage", "out.mlpackage/..", ""] {
            assertThrows(.invalidArgument) { try package.save(to: folder + "/" + name) }
        }
        assertThrows(.notFound) { try package.save(to: folder + "/missing/out.mlpackage") }
        XCTAssertEqual(try names(folder), before)
        XCTAssertEqual(try names(folder + "/folder.mlpackage"), ["mine.txt"])
    }

    func testAnOutputInsideTheInputIsRefused() throws {
        let path = try copy("ios15")
        let package = try ModelPackage(path: path)
        assertThrows(.invalidArgument) { try package.save(to: path + "/Data/out.mlpackage") }
        let inner = try copy("ios15", as: "in.mlpackage/inner.mlpackage")
        assertThrows(.invalidArgument) { try ModelPackage(path: inner).save(to: path) }
        XCTAssertEqual(try names(path), ["Data", "Manifest.json", "inner.mlpackage"])
    }

    func testFoldersThatCannotBeWritten() throws {
        let package = try Fixtures.open("ios15")
        #if os(Linux)
        assertThrows(.readOnly) { try package.save(to: "/sys/kernel/out.mlpackage") }
        #endif
        guard geteuid() != 0 else { return }  // Nothing is closed to the superuser.
        XCTAssertEqual(chmod(folder, 0o500), 0)
        defer { chmod(folder, 0o700) }
        assertThrows(.readOnly) { try package.save(to: folder + "/out.mlpackage") }
    }

    func testLongNames() throws {
        let name = String(repeating: "ü", count: 120) + ".mlpackage"
        try Fixtures.open("ios15").save(to: folder + "/" + name)
        try Fixtures.open("ios16").save(to: folder + "/" + name)
        XCTAssertEqual(try names(folder), [name])
    }

    // MARK: - Links

    /// Hugging Face's cache keeps a package as a tree of links to its files.
    func testAPackageOfLinksIsSavedAsFiles() throws {
        let package = folder + "/links.mlpackage"
        let source = Fixtures.path("garbage")
        for relative in try Fixtures.contents(source).keys {
            let path = URL(fileURLWithPath: package + "/" + relative)
            try manager.createDirectory(at: path.deletingLastPathComponent(), withIntermediateDirectories: true)
            try manager.createSymbolicLink(atPath: path.path, withDestinationPath: source + "/" + relative)
        }
        // Over itself: the links go, what they lead to stays.
        try ModelPackage(path: package).save(to: package)
        XCTAssertEqual(try Fixtures.contents(package), try Fixtures.contents(source))
        let model = try manager.attributesOfItem(atPath: package + "/" + Fixtures.modelPath)
        XCTAssertEqual(model[.type] as? FileAttributeType, .typeRegular)
    }

    func testSavingThroughALinkWritesWhatItLeadsTo() throws {
        let real = try copy("ios15", as: "real.mlpackage")
        try manager.createSymbolicLink(atPath: folder + "/link.mlpackage", withDestinationPath: "real.mlpackage")
        try Fixtures.open("garbage").save(to: folder + "/link.mlpackage")
        XCTAssertEqual(try Fixtures.contents(real), try Fixtures.contents(Fixtures.path("garbage")))
        XCTAssertEqual(try manager.destinationOfSymbolicLink(atPath: folder + "/link.mlpackage"), "real.mlpackage")
    }

    func testLinksToFoldersAndSpecialFilesAreRefused() throws {
        for number in 0..<3 {
            let path = try copy("ios15", as: "in\(number).mlpackage")
            let odd = path + "/Data/odd"
            if number == 2 {
                XCTAssertEqual(mkfifo(odd, 0o600), 0)
            } else {
                try manager.createSymbolicLink(atPath: odd, withDestinationPath: number == 0 ? "/tmp" : "/nowhere")
            }
            assertThrows(number == 1 ? .notFound : .unsupported) {
                try ModelPackage(path: path).save(to: folder + "/out.mlpackage")
            }
        }
        XCTAssertEqual(try names(folder), ["in0.mlpackage", "in1.mlpackage", "in2.mlpackage"])
    }

    // MARK: - Failing and giving up

    func testAFullDiskLeavesNothingBehind() throws {
        let output = try copy("ios15", as: "out.mlpackage")
        let before = try Fixtures.contents(output)
        let package = try Fixtures.open("garbage")
        signal(SIGXFSZ, SIG_IGN)
        var old = rlimit()
        getrlimit(fileSizeResource, &old)
        for limit in [0, 100, 300, 3000] as [rlim_t] {
            var tight = rlimit(rlim_cur: limit, rlim_max: old.rlim_max)
            setrlimit(fileSizeResource, &tight)
            defer { setrlimit(fileSizeResource, &old) }
            assertThrows(.io(EFBIG)) { try package.save(to: output) }
            assertThrows(.io(EFBIG)) {
                let writer = try PackageWriter(package, output: output)
                try [UInt8](repeating: 1, count: 4000).withUnsafeBytes {
                    _ = try writer.appendBlob(file: Fixtures.weights, type: .uint8, bytes: $0, count: 4000)
                }
            }
        }
        XCTAssertEqual(try Fixtures.contents(output), before)
        XCTAssertEqual(try names(folder), ["out.mlpackage"])
    }

    #if os(Linux)
    private let fileSizeResource = __rlimit_resource_t(1)  // RLIMIT_FSIZE
    #else
    private let fileSizeResource = RLIMIT_FSIZE
    #endif

    func testGivingUpRemovesTheTemporaryFolder() throws {
        let package = try Fixtures.open("ios15")
        let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
        let temporary = URL(fileURLWithPath: writer.temporaryPath).lastPathComponent
        XCTAssertTrue(temporary.hasPrefix(".out.mlpackage.tmp-\(getpid())-"), temporary)
        XCTAssertEqual(try names(folder), [temporary])
        try [UInt8](repeating: 1, count: 40).withUnsafeBytes {
            _ = try writer.appendBlob(file: Fixtures.weights, type: .uint8, bytes: $0, count: 40)
        }
        writer.abandon()
        writer.abandon()
        XCTAssertEqual(try names(folder), [])
        assertThrows(.invalidArgument) { try writer.finish() }
        assertThrows(.invalidArgument) { try writer.keepBlob(file: Fixtures.weights, offset: 64) }
        _ = try PackageWriter(package, output: folder + "/out.mlpackage")
        XCTAssertEqual(try names(folder), [], "a writer that is dropped cleans up")
    }

    func testAFileThatTheManifestDoesNotListIsNotWritten() throws {
        let path = try copy("ios15")
        let manifest = try String(contentsOfFile: path + "/Manifest.json", encoding: .utf8)
        try write(manifest.replacingOccurrences(of: "com.apple.CoreML/weights", with: "x"), path + "/Manifest.json")
        let writer = try PackageWriter(ModelPackage(path: path), output: folder + "/out.mlpackage")
        assertThrows(.unsupported) { try writer.keepBlob(file: Fixtures.weights, offset: 64) }
    }

    // MARK: - At the same time

    /// A mixture of two packages must never be written.
    func testAnInputThatChangesMeanwhileIsNotCopied() throws {
        let path = try copy("ios15")
        var package = try ModelPackage(path: path)
        let writer = try PackageWriter(package, output: folder + "/out.mlpackage")
        try Fixtures.open("ios16").save(to: path)
        assertThrows(.io(EBUSY)) { try writer.finish() }
        package = try ModelPackage(path: path)
        let weights = try XCTUnwrap(FileHandle(forWritingAtPath: package.weightFiles[0].path))
        try weights.write(contentsOf: Data([0]))
        let error = assertThrows(.io(EBUSY)) { try package.save(to: folder + "/out.mlpackage") }
        XCTAssertEqual(error?.file, package.weightFiles[0].path)
        XCTAssertEqual(try names(folder), ["in.mlpackage"])
    }

    func testManyWritersOfOneTarget() throws {
        let folder = folder
        for usingSwap in [true, false] {
            let target = "\(folder)/out-\(usingSwap).mlpackage"
            let sources = ["garbage", "ios15", "pipeline"]
            DispatchQueue.concurrentPerform(iterations: 24) { index in
                do {
                    let temporary = "\(folder)/.tmp-\(usingSwap)-\(index)"
                    try FileManager.default.copyItem(atPath: Fixtures.path(sources[index % 3]), toPath: temporary)
                    let leftover = try AtomicReplace.move(temporary, to: target, usingSwap: usingSwap)
                    XCTAssertNil(leftover)
                } catch {
                    XCTFail("\(error)")
                }
            }
            let found = try Fixtures.contents(target)
            XCTAssertTrue(try sources.contains { try Fixtures.contents(Fixtures.path($0)) == found })
        }
        XCTAssertEqual(try names(folder), ["out-false.mlpackage", "out-true.mlpackage"])
    }

    func testAFolderThatAppearsInThePlaceOfTheTargetIsKept() throws {
        let temporary = try copy("ios15", as: ".tmp")
        try manager.createDirectory(atPath: folder + "/out.mlpackage", withIntermediateDirectories: true)
        try write("mine", folder + "/out.mlpackage/mine.txt")
        assertThrows(.exists) { _ = try AtomicReplace.move(temporary, to: folder + "/out.mlpackage") }
        XCTAssertEqual(try names(folder + "/out.mlpackage"), ["mine.txt"])
    }
}
