import ClickHouseNative
import Foundation
import NIOCore

/// A spool's directory for whoever only looks: nothing in it is written, cut, removed or locked, so a daemon may be at work in
/// it. What is reported is what a daemon that started now would find, as of the moment when the files were listed.
public struct SpoolInspection: Sendable {
    public struct Segment: Sendable {
        public enum State: String, Sendable {
            /// The newest: where a running daemon writes.
            case writing
            /// Some of its rows are not settled.
            case waiting
            /// It is deleted as soon as those before it are.
            case settled
        }

        public let number: UInt64
        public let state: State
        /// What of the file counts.
        public let bytes: Int
        /// Milliseconds since 1970.
        public let created: Int64
        /// nil: it has no records.
        public internal(set) var lsns: ClosedRange<UInt64>?
        public internal(set) var records = 0
        public internal(set) var rows = 0
        public let unsettledRows: Int
        /// Blocks that are sealed and not settled, with rows of this segment.
        public internal(set) var sealedBlocks = 0

        public var name: String { SpoolFormat.fileName(of: number) }
    }

    /// Something that is not as it was written.
    public struct Fault: Hashable, Sendable {
        public enum Kind: String, Sendable, CaseIterable {
            /// A segment's number is not there, and one behind it is.
            case missingSegment = "missing_segment"
            /// The beginning of a segment cannot be read.
            case badHead = "bad_head"
            /// Bytes that are no record.
            case badRecord = "bad_record"
            /// A record whose checksum is right and whose content is not.
            case badContent = "bad_content"
            /// Rows of sealed blocks whose record is gone.
            case lostRows = "lost_rows"
            /// The newest segment ends in half a record: a write that a crash, or this look at it, came in between of. No loss.
            case tornTail = "torn_tail"
        }

        public let kind: Kind
        public let file: String
        /// Where in the file.
        public var offset: Int?
        public var bytes: Int?
        public let message: String

        public var isDamage: Bool { kind != .tornTail }
    }

    /// One row batch of a rows record.
    public struct Rows: Sendable {
        public let segment: UInt64
        public let lsn: UInt64
        public let part: Int
        public let table: TableName
        public let rows: Int
        /// Milliseconds since 1970.
        public let received: Int64
        /// Which of the rows are not settled, ascending; empty: none.
        public let unsettled: [Range<Int>]
        private let head: SpoolFormat.RowsHead.Part
        private let body: ByteBuffer

        init(
            segment: UInt64, lsn: UInt64, part: Int, head: SpoolFormat.RowsHead, body: ByteBuffer,
            unsettled: [Range<Int>]
        ) {
            self.segment = segment
            self.lsn = lsn
            self.part = part
            self.head = head.parts[part]
            self.body = body
            self.unsettled = unsettled
            table = head.parts[part].table
            rows = head.parts[part].rows
            received = head.received
        }

        /// All rows, settled or not.
        ///
        /// - Throws: when it is not what the record says.
        public func block() throws -> Block { try SpoolFormat.readBlock(head, of: body) }
    }

    /// nil: there are no segments.
    public let spool: SpoolID?
    public internal(set) var segments: [Segment] = []
    public internal(set) var faults: [Fault] = []
    /// Names of segments of which a part could not be read, as they were found then.
    public let badFiles: [String]
    public let totals: SpoolTotals
    /// Rows of rows records that are in no settlement, counted record by record.
    public let inFlight: Int
    /// Whether a process has the directory now; nil: cannot be told here.
    public let isInUse: Bool?

    private let disk: ReadOnlySpoolDisk
    private let blocks: [SealedParts]
    private let sealed: [UInt64: [SpoolPart]]
    private let leftovers: [UInt64: Set<Int>]
    private let backlog: SpoolLocation?

    /// accepted = committed + dead-lettered + discarded + in flight
    public var isConserved: Bool { totals.accepted == totals.settled + UInt64(inFlight) }
    public var damage: [Fault] { faults.filter(\.isDamage) }
    public var sealedBlocks: Int { blocks.count }

    /// - Parameter decodesBlocks: whether the rows themselves are read, too.
    /// - Throws: `SpoolError`, `SpoolDiskError`.
    public static func read(directory: String, decodesBlocks: Bool) throws -> SpoolInspection {
        // A running daemon deletes segments; then what was listed is not there any more.
        var triesLeft = 5
        while true {
            do {
                return try SpoolInspection(disk: ReadOnlySpoolDisk(path: directory), decodesBlocks: decodesBlocks)
            } catch let error as SpoolDiskError where error.number == ENOENT && error.call == .open && triesLeft > 0 {
                triesLeft -= 1
            }
        }
    }

    private init(disk: ReadOnlySpoolDisk, decodesBlocks: Bool) throws {
        self.disk = disk
        let names = try disk.names()
        badFiles = names.filter { $0.hasSuffix(".bad") }.sorted()
        isInUse = disk.isLocked
        let recovery = try SpoolRecovery.read(disk, registry: ProducerRegistry(wallClock: { 0 }))
        spool = recovery.spool
        totals = recovery.ledger.totals
        inFlight = recovery.ledger.unsettledRows
        blocks = recovery.blocks
        sealed = Dictionary(grouping: recovery.blocks.flatMap(\.parts), by: \.lsn)
        leftovers = Dictionary(recovery.leftovers.map { ($0.lsn, Set($0.parts)) }) { $1 }
        backlog = recovery.backlog
        let last = recovery.ledger.segments.last?.number
        segments = recovery.ledger.segments.map { segment in
            Segment(
                number: segment.number,
                state: segment.number == last ? .writing : segment.unsettledRows > 0 ? .waiting : .settled,
                bytes: segment.bytes, created: segment.created, unsettledRows: segment.unsettledRows)
        }
        var blocksOf: [UInt64: Set<UInt64>] = [:]
        for block in recovery.blocks {
            for part in block.parts {
                if let place = recovery.locations[part.lsn] { blocksOf[place.segment, default: []].insert(block.id) }
            }
        }
        for place in segments.indices {
            segments[place].sealedBlocks = blocksOf[segments[place].number]?.count ?? 0
            try look(at: place, decodesBlocks)
        }
        try lookForHeads(names, recovery)
    }

    private mutating func look(at place: Int, _ decodesBlocks: Bool) throws {
        let segment = segments[place]
        let file = try disk.open(segment.name)
        if place > 0,
            case .head(let head) = SpoolFormat.SegmentHead.read(
                try file.read(at: 0, count: SpoolFormat.segmentHeadBytes)),
            head.previousNumber != segments[place - 1].number
        {
            let missing = SpoolFormat.fileName(of: head.previousNumber)
            faults.append(Fault(kind: .missingSegment, file: missing, message: "\(missing) is missing"))
        }
        var scan = try SegmentScan(file, length: segment.bytes)
        while let item = try scan.next() {
            switch item {
            case .record(let head, let offset, let body):
                segments[place].records += 1
                segments[place].lsns = (segments[place].lsns?.lowerBound ?? head.lsn)...head.lsn
                guard head.kind == .rows else { continue }
                do {
                    let rows = try SpoolFormat.readRows(body)
                    segments[place].rows += rows.rows
                    if decodesBlocks { for part in rows.parts { _ = try SpoolFormat.readBlock(part, of: body) } }
                } catch {
                    faults.append(
                        Fault(
                            kind: .badContent, file: segment.name, offset: offset, bytes: head.bytes,
                            message: "the record with LSN \(head.lsn) is not what it says"))
                }
            case .damage(let from, let to):
                faults.append(Self.badRecord(segment.name, from, to))
            case .tail(let from):
                // Of the newest segment, the tail was left out already.
                faults.append(Self.badRecord(segment.name, from, segment.bytes))
            }
        }
        // A segment that is not the newest may have lost its end: then what counted is cut off before that.
        if place + 1 < segments.count,
            case .head(let next) = SpoolFormat.SegmentHead.read(
                try disk.open(segments[place + 1].name).read(at: 0, count: SpoolFormat.segmentHeadBytes)),
            next.previousNumber == segment.number, Int(clamping: next.previousBytes) > segment.bytes
        {
            faults.append(Self.badRecord(segment.name, segment.bytes, Int(clamping: next.previousBytes)))
        }
    }

    private static func badRecord(_ file: String, _ from: Int, _ to: Int) -> Fault {
        Fault(
            kind: .badRecord, file: file, offset: from, bytes: to - from,
            message: "\(to - from) bytes at \(from) are no whole record")
    }

    private mutating func lookForHeads(_ names: [String], _ recovery: SpoolRecovery) throws {
        let known = Set(segments.map(\.name))
        let numbered = names.filter { SpoolFormat.number(ofFile: $0) != nil }.sorted()
        var torn = recovery.damage.tornBytes
        for name in numbered where !known.contains(name) {
            let file = try disk.open(name)
            let length = try file.length()
            // One with a good head was begun and never used.
            guard case .none = SpoolFormat.SegmentHead.read(try file.read(at: 0, count: SpoolFormat.segmentHeadBytes))
            else { continue }
            let holdsRecords = try SegmentScan.findsRecords(in: file)
            guard name != numbered.last || holdsRecords else {
                torn -= length
                faults.append(
                    Fault(
                        kind: .tornTail, file: name, offset: 0, bytes: length,
                        message: "a segment that was never begun, \(length) bytes"))
                continue
            }
            faults.append(
                Fault(
                    kind: .badHead, file: name, offset: 0, bytes: length,
                    message: "the head of the segment cannot be read; `sluice spool export` salvages its records"))
        }
        if torn > 0, let last = segments.last {
            faults.append(
                Fault(
                    kind: .tornTail, file: last.name, offset: last.bytes, bytes: torn,
                    message: "\(torn) bytes at \(last.bytes) are half a record: torn by a crash, or being written"))
        }
        if recovery.damage.rowsOfBlocks > 0 {
            faults.append(
                Fault(
                    kind: .lostRows, file: ".",
                    message: "\(recovery.damage.rowsOfBlocks) rows of sealed blocks are in no record that can be read"))
        }
    }

    // MARK: Rows

    /// All row batches that can be read, of one segment or all, in the order of their LSNs; damage is left out.
    public func forEachRows(ofSegment number: UInt64? = nil, _ body: (Rows) throws -> Void) throws {
        for segment in segments where number == nil || segment.number == number {
            _ = try Self.scan(try disk.open(segment.name), length: segment.bytes) { head, offset, bytes, rows in
                for place in rows.parts.indices {
                    try body(
                        Rows(
                            segment: segment.number, lsn: head.lsn, part: place, head: rows, body: bytes,
                            unsettled: unsettled(head.lsn, segment.number, offset, place, rows.parts[place].rows)))
                }
            }
        }
    }

    /// All row batches of the whole records of one file, a segment or what is left of one; each counts as not settled.
    ///
    /// - Returns: The number of places that are no record.
    public static func forEachRows(inFile path: String, _ body: (Rows) throws -> Void) throws -> Int {
        let name = (path as NSString).lastPathComponent
        let number = UInt64(name.prefix(16), radix: 16) ?? 0
        let directory = (path as NSString).deletingLastPathComponent
        let disk = ReadOnlySpoolDisk(path: directory.isEmpty ? "." : directory)
        return try scan(try disk.open(name), length: nil) { head, _, bytes, rows in
            for place in rows.parts.indices {
                try body(
                    Rows(
                        segment: number, lsn: head.lsn, part: place, head: rows, body: bytes,
                        unsettled: [0..<rows.parts[place].rows]))
            }
        }
    }

    /// The spool that a segment belongs to; nil: its head cannot be read.
    public static func spool(ofFile path: String) throws -> SpoolID? {
        let directory = (path as NSString).deletingLastPathComponent
        let disk = ReadOnlySpoolDisk(path: directory.isEmpty ? "." : directory)
        let bytes = try disk.open((path as NSString).lastPathComponent).read(at: 0, count: SpoolFormat.segmentHeadBytes)
        guard case .head(let head) = SpoolFormat.SegmentHead.read(bytes) else { return nil }
        return head.spool
    }

    private static func scan(
        _ file: any SpoolFile, length: Int?,
        _ body: (SpoolFormat.RecordHead, Int, ByteBuffer, SpoolFormat.RowsHead) throws -> Void
    ) throws -> Int {
        var scan = try SegmentScan(file, length: length)
        var faults = 0
        while let item = try scan.next() {
            guard case .record(let head, let offset, let bytes) = item else {
                faults += 1
                continue
            }
            guard head.kind == .rows else { continue }
            guard let rows = try? SpoolFormat.readRows(bytes) else {
                faults += 1
                continue
            }
            try body(head, offset, bytes, rows)
        }
        return faults
    }

    private func unsettled(_ lsn: UInt64, _ segment: UInt64, _ offset: Int, _ part: Int, _ rows: Int) -> [Range<Int>] {
        if let backlog, (segment, offset) >= (backlog.segment, backlog.offset) { return [0..<rows] }
        if leftovers[lsn]?.contains(part) == true { return [0..<rows] }
        let ranges = (sealed[lsn] ?? []).filter { $0.part == part }.map { $0.firstRow..<$0.firstRow + $0.rows }
        return ranges.sorted { $0.lowerBound < $1.lowerBound }
    }
}
