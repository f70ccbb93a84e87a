#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#else
import Darwin
#endif

/// Puts a finished temporary folder at its place, in one step that a reader sees as before or after.
enum AtomicReplace {
    /// Renames `temporary` to `target`. A package that is there is swapped out and removed; anything else stays.
    /// - Parameter usingSwap: false takes the way for file systems that cannot swap two names.
    /// - Returns: where the old package lies when it could not be removed.
    static func move(
        _ temporary: String, to target: String, usingSwap: Bool = true
    ) throws(PackageError) -> String? {
        // Another process may create or replace the target between two steps: look again then.
        for _ in 0..<64 {
            try requireReplaceable(target)
            if try EntryKind(target) == .none {
                if try renameToNew(temporary, target) { return nil }
            } else if let leftover = try exchange(temporary, target, usingSwap: usingSwap) {
                return removeTree(leftover) ? nil : leftover
            }
        }
        throw PackageError(.io(EBUSY), file: target, "other processes keep replacing it")
    }

    /// - Throws: `.exists` unless there is nothing at `target` or a package.
    static func requireReplaceable(_ target: String) throws(PackageError) {
        for _ in 0..<64 {
            let seen = FileIdentity(target)
            switch try EntryKind(target) {
            case .none: return
            case .folder where try EntryKind(target + "/Manifest.json", followingLinks: true) == .file: return
            case .folder where seen == nil || FileIdentity(target) != seen:
                // Another process has put its package there, or taken one away, between the two looks.
                continue
            case .folder:
                throw PackageError(
                    .exists, file: target, "found a folder that is no Core ML package; it is not replaced")
            default: throw PackageError(.exists, file: target, "found something that is no folder; it is not replaced")
            }
        }
        throw PackageError(.io(EBUSY), file: target, "other processes keep replacing it")
    }

    /// - Returns: false when the target has appeared meanwhile.
    private static func renameToNew(_ temporary: String, _ target: String) throws(PackageError) -> Bool {
        var result = exclusiveRename(temporary, target)
        if result != 0, isUnavailable(errno) { result = rename(temporary, target) }
        if result == 0 { return true }
        if errno == EEXIST || errno == ENOTEMPTY { return false }
        throw .system(errno, target, "cannot move the finished package to its place", writing: true)
    }

    /// Swaps the two folders.
    /// - Returns: where the old package now lies; nil when the target has changed meanwhile.
    private static func exchange(
        _ temporary: String, _ target: String, usingSwap: Bool
    ) throws(PackageError) -> String? {
        if usingSwap {
            if swap(temporary, target) == 0 { return try requirePackage(temporary, from: target) }
            if errno == ENOENT { return nil }
            guard isUnavailable(errno) else {
                throw .system(errno, target, "cannot move the finished package to its place", writing: true)
            }
        }
        return try exchangeInTwoSteps(temporary, target)
    }

    /// What was swapped out is about to be removed: put it back should it be no package, which it was a moment ago.
    private static func requirePackage(_ swapped: String, from target: String) throws(PackageError) -> String {
        do {
            try requireReplaceable(swapped)
        } catch {
            _ = swap(swapped, target)
            throw PackageError(.exists, file: target, "found something new that is no Core ML package")
        }
        return swapped
    }

    /// Two renames, with a moment in between when the target is not there.
    private static func exchangeInTwoSteps(_ temporary: String, _ target: String) throws(PackageError) -> String? {
        let aside = temporary + ".old"
        guard rename(target, aside) == 0 else {
            if errno == ENOENT { return nil }
            throw .system(errno, target, "cannot move the old package away", writing: true)
        }
        if rename(temporary, target) == 0 { return aside }
        let code = errno
        if code == EEXIST || code == ENOTEMPTY {
            // Another process was faster: its package is the one to replace next.
            removeTree(aside)
            return nil
        }
        _ = rename(aside, target)
        throw .system(code, target, "cannot move the finished package to its place", writing: true)
    }

    private static func isUnavailable(_ code: Int32) -> Bool {
        code == EINVAL || code == ENOSYS || code == ENOTSUP || code == EOPNOTSUPP
    }

    private static func exclusiveRename(_ from: String, _ to: String) -> Int32 {
        #if canImport(Darwin)
        return renamex_np(from, to, UInt32(RENAME_EXCL))
        #else
        return renameAt2(from, to, flags: 1)  // RENAME_NOREPLACE
        #endif
    }

    private static func swap(_ from: String, _ to: String) -> Int32 {
        #if canImport(Darwin)
        return renamex_np(from, to, UInt32(RENAME_SWAP))
        #else
        return renameAt2(from, to, flags: 2)  // RENAME_EXCHANGE
        #endif
    }

    #if !canImport(Darwin)
    private typealias RenameAt2 =
        @convention(c) (
            Int32, UnsafePointer<CChar>, Int32, UnsafePointer<CChar>, UInt32
        ) -> Int32

    /// Linux's `renameat2`, which Swift's view of the C library leaves out; ENOSYS where the library has none.
    private static func renameAt2(_ from: String, _ to: String, flags: UInt32) -> Int32 {
        guard let symbol = dlsym(nil, "renameat2") else {
            errno = ENOSYS
            return -1
        }
        return unsafeBitCast(symbol, to: RenameAt2.self)(AT_FDCWD, from, AT_FDCWD, to, flags)
    }
    #endif
}
