import Foundation
import NIOCore
import Pipeline

/// The files of a dead letter. All calls block on the disk.
///
/// - `rejected-<time>-<number>.ndjson`: closed; with `.open` behind it, being written. Closing is a rename.
/// - `<table>-<time>-<id>.native` and `.json`: a block, and why it is here. Both are complete once they have their names.
/// - `.replayed` behind such a name: its rows were sent again; kept until room is needed. `<name>.replay`: which rows were.
/// - The directory belongs to one process, by a lock on it; `.open` files that are there at start are of one that died.
final class DeadLetterDirectory {
    /// What an append did besides.
    struct Outcome {
        /// False: there was no room, even without all older files.
        var isKept: Bool
        /// Rows of older files that made room.
        var rowsRemoved = 0
    }

    /// What of the disk a test lets fail.
    enum Call: Sendable { case make, write, sync, truncate }

    private struct ClosedFile {
        /// Without the suffix.
        let name: String
        let isBlock: Bool
        let bytes: Int
        /// nil: of an earlier run, not counted yet.
        let rows: Int?
    }

    private struct OpenFile {
        let name: String
        let descriptor: Int32
        var bytes = 0
        var rows = 0
        var syncedBytes = 0
        var syncedRows = 0

        var isUnsynced: Bool { syncedBytes < bytes }
    }

    static let openSuffix = ".open"
    /// Behind the name of a file whose rows were sent again, all of them (docs/spool-and-dead-letter.md).
    static let replayedSuffix = ".replayed"
    /// Instead of a file's suffix: which of its rows were sent again.
    static let journalSuffix = ".replay"

    private let path: String
    private let fileBytesMax: Int
    private let totalBytesMax: Int
    private let lock: Int32
    /// The oldest first.
    private var closed: [ClosedFile] = []
    private var closedBytes = 0
    private var open: OpenFile?
    private var filesMade = 0
    private let fault: @Sendable (Call) -> Int32?
    /// Times that all of the open file was made to last.
    private(set) var syncs = 0
    /// A sync failed: what it left of the open file behind the last one cannot be trusted, whatever the next one says.
    /// `giveUpFile()` ends that.
    private(set) var isSyncBroken = false
    private var isReleased = false

    /// - Parameter fault: for tests: the errno with which a call fails.
    init(
        path: String, fileBytesMax: Int, totalBytesMax: Int, fault: @escaping @Sendable (Call) -> Int32? = { _ in nil }
    ) throws {
        self.fault = fault
        self.path = path
        self.fileBytesMax = fileBytesMax
        self.totalBytesMax = totalBytesMax
        do {
            try FileManager.default.createDirectory(
                atPath: path, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        } catch {
            throw DeadLetterError(.system, "cannot make the directory \(path): \(error.localizedDescription)")
        }
        lock = Foundation.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        // From here on all is initialized: an error that is thrown runs `deinit`, which closes.
        guard lock >= 0 else { throw Self.failure("cannot open the directory \(path)") }
        guard flock(lock, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            throw code == EWOULDBLOCK
                ? DeadLetterError(.inUse, "another process uses the directory \(path)")
                : Self.failure("cannot lock the directory \(path)", code)
        }
        try findFiles()
    }

    /// Gives the directory to whoever comes next; nothing is written to it any more.
    func release() {
        isReleased = true
        flock(lock, LOCK_UN)
    }

    deinit {
        if let open { Foundation.close(open.descriptor) }
        if lock >= 0 { Foundation.close(lock) }
    }

    /// A table's name as a part of a file's name: what is not a letter, digit, `_` or `-` becomes `%` and two digits.
    static func fileName(of table: TableName) -> String {
        var name = ""
        for byte in table.description.utf8.prefix(64) {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
                name.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                let digits = String(byte, radix: 16, uppercase: true)
                name += digits.utf8.count == 1 ? "%0\(digits)" : "%\(digits)"
            }
        }
        return name
    }

    // MARK: Writing

    /// Appends whole lines to the open file, or to a new one if it would become too large.
    ///
    /// - Throws: `DeadLetterError`; nothing of the lines is kept then.
    func append(_ lines: ByteBuffer, rows: Int, time: String) throws -> Outcome {
        let bytes = lines.readableBytes
        if let open, open.bytes + bytes > fileBytesMax { try closeFile() }
        let (hasRoom, rowsRemoved) = try makeRoom(for: bytes)
        guard hasRoom else { return Outcome(isKept: false, rowsRemoved: rowsRemoved) }
        var file = try open ?? makeFile(time: time)
        open = file
        do {
            try write(lines, to: file.descriptor)
        } catch {
            // No half lines; if that fails too, the file ends where it was synced and a new one is begun.
            if !truncate(file.descriptor, to: file.bytes) { isSyncBroken = true }
            throw error
        }
        file.bytes += bytes
        file.rows += rows
        open = file
        return Outcome(isKept: true, rowsRemoved: rowsRemoved)
    }

    /// Makes what was appended last.
    func sync() throws {
        guard !isSyncBroken else { throw DeadLetterError(.system, "an earlier sync of \(open?.name ?? path) failed") }
        guard let open, open.isUnsynced else { return }
        do {
            try sync(open.descriptor, open.name)
            try syncNames()
        } catch {
            isSyncBroken = true
            throw error
        }
        self.open?.syncedBytes = open.bytes
        self.open?.syncedRows = open.rows
        syncs += 1
    }

    /// After a sync that failed: the open file ends where it was last known to be whole. What was appended since is the
    /// caller's again.
    func giveUpFile() {
        guard isSyncBroken else { return }
        guard var file = open else {
            isSyncBroken = false
            return
        }
        // If the cut fails, rows may be there twice, in this file and in the next; never not at all.
        if truncate(file.descriptor, to: file.syncedBytes) {
            file.bytes = file.syncedBytes
            file.rows = file.syncedRows
        }
        open = nil
        isSyncBroken = false
        Foundation.close(file.descriptor)
        if file.bytes == 0 {
            unlink("\(path)/\(file.name).ndjson\(Self.openSuffix)")
        } else {
            closed.append(ClosedFile(name: file.name, isBlock: false, bytes: file.bytes, rows: file.rows))
            closedBytes += file.bytes
            // If that fails, too, the next start does it.
            try? move(file.name + ".ndjson")
        }
    }

    /// What was appended since the last sync is to be given up.
    func distrustFile() { isSyncBroken = true }

    private func truncate(_ descriptor: Int32, to bytes: Int) -> Bool {
        fault(.truncate) == nil && ftruncate(descriptor, off_t(bytes)) == 0
    }

    private func syncNames() throws { try sync(lock, path) }

    private func sync(_ descriptor: Int32, _ name: String) throws {
        if let number = fault(.sync) { throw Self.failure("cannot sync \(name)", number) }
        guard fsync(descriptor) == 0 else { throw Self.failure("cannot sync \(name)") }
    }

    /// Gives the open file its final name.
    func closeFile() throws {
        guard let file = open else { return }
        try sync()
        open = nil
        Foundation.close(file.descriptor)
        closed.append(ClosedFile(name: file.name, isBlock: false, bytes: file.bytes, rows: file.rows))
        closedBytes += file.bytes
        try move(file.name + ".ndjson")
    }

    /// - Returns: Rows of older files that made room.
    func writeBlock(named name: String, _ bytes: ByteBuffer, why: ByteBuffer, rows: Int) throws -> Int {
        guard !isReleased else { throw DeadLetterError(.system, "the dead letter is closed") }
        let size = bytes.readableBytes + why.readableBytes
        let (hasRoom, rowsRemoved) = try makeRoom(for: size)
        guard hasRoom else {
            throw DeadLetterError(.tooLarge, "a block of \(size) bytes is more than the dead letter may hold")
        }
        try writeFile(why, named: name + ".json")
        do {
            try writeFile(bytes, named: name + ".native")
        } catch {
            unlink("\(path)/\(name).json")
            throw error
        }
        closed.append(ClosedFile(name: name, isBlock: true, bytes: size, rows: rows))
        closedBytes += size
        return rowsRemoved
    }

    private func writeFile(_ bytes: ByteBuffer, named name: String) throws {
        let path = "\(path)/\(name)\(Self.openSuffix)"
        let descriptor = try makeFile(at: path)
        defer { Foundation.close(descriptor) }
        do {
            try write(bytes, to: descriptor)
            try sync(descriptor, name)
            try move(name)
            try syncNames()
        } catch {
            unlink(path)
            throw error
        }
    }

    private func makeFile(time: String) throws -> OpenFile {
        filesMade += 1
        let name = "rejected-\(time)-\(filesMade)"
        return OpenFile(name: name, descriptor: try makeFile(at: "\(path)/\(name).ndjson\(Self.openSuffix)"))
    }

    private func makeFile(at path: String) throws -> Int32 {
        if let number = fault(.make) { throw Self.failure("cannot make \(path)", number) }
        let descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw Self.failure("cannot make \(path)") }
        return descriptor
    }

    private func move(_ name: String) throws {
        guard rename("\(path)/\(name)\(Self.openSuffix)", "\(path)/\(name)") == 0 else {
            throw Self.failure("cannot rename \(path)/\(name)\(Self.openSuffix)")
        }
    }

    private func write(_ bytes: ByteBuffer, to descriptor: Int32) throws {
        if let number = fault(.write) { throw Self.failure("cannot write a rejected row", number) }
        try bytes.withUnsafeReadableBytes { bytes in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = Foundation.write(descriptor, UnsafeRawBufferPointer(rebasing: rest).baseAddress, rest.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.failure("cannot write a rejected row") }
                rest = rest.dropFirst(count)
            }
        }
    }

    // MARK: Room

    private func makeRoom(for bytes: Int) throws -> (Bool, rowsRemoved: Int) {
        var rows = 0
        // What cannot fit at all costs nothing else.
        guard bytes <= totalBytesMax else { return (false, 0) }
        while closedBytes + (open?.bytes ?? 0) + bytes > totalBytesMax {
            if closed.isEmpty { try closeFile() }
            rows += try removeOldest()
        }
        return (true, rows)
    }

    /// - Returns: How many rows it had.
    private func removeOldest() throws -> Int {
        guard let file = closed.first else { return 0 }
        let suffix = file.isBlock ? ".native" : ".ndjson"
        // Rows that were sent again, or that somebody purged, are not lost now.
        let rows = status(of: file.name + suffix) == nil ? 0 : file.rows ?? countRows(of: file)
        let names = [suffix, suffix + Self.replayedSuffix, Self.journalSuffix] + (file.isBlock ? [".json"] : [])
        for suffix in names {
            // Gone already is as good: people may tidy up.
            guard unlink("\(path)/\(file.name)\(suffix)") == 0 || errno == ENOENT else {
                throw Self.failure("cannot remove \(path)/\(file.name)\(suffix)")
            }
        }
        closed.removeFirst()
        closedBytes -= file.bytes
        return rows
    }

    private func countRows(of file: ClosedFile) -> Int {
        struct Why: Decodable { let rows: Int }
        if file.isBlock {
            guard let data = FileManager.default.contents(atPath: "\(path)/\(file.name).json") else { return 0 }
            return (try? JSONDecoder().decode(Why.self, from: data))?.rows ?? 0
        }
        guard let handle = FileHandle(forReadingAtPath: "\(path)/\(file.name).ndjson") else { return 0 }
        var rows = 0
        while let data = try? handle.read(upToCount: 1 << 20), !data.isEmpty {
            rows += data.reduce(0) { $1 == UInt8(ascii: "\n") ? $0 + 1 : $0 }
        }
        return rows
    }

    // MARK: Start

    private func findFiles() throws {
        let names: [String]
        do {
            names = try FileManager.default.contentsOfDirectory(atPath: path)
        } catch {
            throw DeadLetterError(.system, "cannot list \(path): \(error.localizedDescription)")
        }
        var found: [(time: (Int, Int), file: ClosedFile)] = []
        for name in names {
            let left = name.hasSuffix(Self.openSuffix) ? String(name.dropLast(Self.openSuffix.count)) : nil
            if let left, left.hasSuffix(".native") || left.hasSuffix(".json") {
                // Half a block: whoever wrote it died before it counted as kept.
                unlink("\(path)/\(name)")
                continue
            }
            let wasReplayed = name.hasSuffix(Self.replayedSuffix)
            let final = left ?? (wasReplayed ? String(name.dropLast(Self.replayedSuffix.count)) : name)
            let isBlock = final.hasSuffix(".native")
            guard isBlock || (final.hasPrefix("rejected-") && final.hasSuffix(".ndjson")) else { continue }
            if left != nil { try move(final) }
            let base = String(final.dropLast(7))
            guard let about = status(of: wasReplayed ? name : final) else { continue }
            let why = isBlock ? status(of: base + ".json").map { Int($0.st_size) } ?? 0 : 0
            found.append(
                (
                    (about.st_mtim.tv_sec, about.st_mtim.tv_nsec),
                    ClosedFile(name: base, isBlock: isBlock, bytes: Int(about.st_size) + why, rows: nil)
                ))
        }
        closed = found.sorted { ($0.time.0, $0.time.1, $0.file.name) < ($1.time.0, $1.time.1, $1.file.name) }.map(
            \.file)
        closedBytes = closed.reduce(0) { $0 + $1.bytes }
    }

    private func status(of name: String) -> stat? {
        var status = stat()
        return lstat("\(path)/\(name)", &status) == 0 ? status : nil
    }

    private static func failure(_ what: String, _ code: Int32 = errno) -> DeadLetterError {
        DeadLetterError(.system, "\(what): \(String(cString: strerror(code)))")
    }
}
