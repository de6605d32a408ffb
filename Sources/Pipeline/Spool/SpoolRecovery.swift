import NIOCore

/// Why a spool cannot be used.
public struct SpoolError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        /// Written by a later version.
        case otherVersion = "other_version"
        /// Segments of two spools lie in one directory.
        case mixedSpools = "mixed_spools"
        /// Another daemon has it.
        case inUse = "in_use"
    }

    public let code: Code
    public let description: String

    public init(_ code: Code, _ description: String) {
        self.code = code
        self.description = description
    }
}

/// What was found in a spool's directory, and what is to be done with it (docs/specs/spool.md, "Reading back after a crash").
public struct SpoolRecovery: Sendable {
    /// Rows that were not settled when the daemon ended, and lie before `backlog`: some parts of a record.
    public struct Leftover: Hashable, Sendable {
        public let lsn: UInt64
        public let location: SpoolLocation
        public let parts: [Int]
    }

    /// What could not be read, for the log and the metrics.
    public struct Damage: Hashable, Sendable {
        /// Places where something was lost that was once whole.
        public var places = 0
        public var bytes = 0
        /// Segments whose number is missing, or whose head is.
        public var segments = 0
        /// Bytes of the torn tail that were cut off; no loss.
        public var tornBytes = 0
        /// Rows of sealed blocks whose record is gone.
        public var rowsOfBlocks = 0
    }

    public internal(set) var spool: SpoolID?
    var ledger = SpoolLedger()
    /// Sealed and not settled: to be shipped again as they are, in the order of their ids.
    public internal(set) var blocks: [SealedParts] = []
    /// Where the records lie that blocks and leftovers need.
    public internal(set) var locations: [UInt64: SpoolLocation] = [:]
    /// In the order of their LSNs.
    public internal(set) var leftovers: [Leftover] = []
    /// From here on no record was ever handed on.
    public internal(set) var backlog: SpoolLocation?
    public internal(set) var unsettledRows = 0
    public internal(set) var damage = Damage()
    var lastLSN: UInt64 = 0
    var lastSegment: UInt64 = 0

    /// Reads all segments, and cuts the torn tail of the last.
    static func read(_ disk: any SpoolDisk, registry: ProducerRegistry) throws -> SpoolRecovery {
        var reading = SpoolReading(disk: disk, registry: registry)
        try reading.readAll()
        return reading.recovery
    }
}

/// The two passes of reading a spool back.
private struct SpoolReading {
    struct Segment {
        let number: UInt64
        let head: SpoolFormat.SegmentHead
        let file: any SpoolFile
        /// Up to where it counts.
        var length: Int
        var rows = 0
        var lastLSN: UInt64
    }

    let disk: any SpoolDisk
    let registry: ProducerRegistry
    var recovery = SpoolRecovery()
    var segments: [Segment] = []
    var blocks: [UInt64: SealedParts] = [:]
    /// Row batches that are in some seal, settled or not; and how many rows of each record are settled.
    var sealed: Set<SealedPlace> = []
    var settledRows: [UInt64: Int] = [:]
    var settledBlocks: Set<UInt64> = []
    var lastSealed: UInt64 = 0
    var lastBlock: UInt64 = 0
    var totals = SpoolTotals()
    var isFirstState = true

    struct SealedPlace: Hashable {
        let lsn: UInt64
        let part: Int
    }

    init(disk: any SpoolDisk, registry: ProducerRegistry) {
        self.disk = disk
        self.registry = registry
    }

    mutating func readAll() throws {
        try findSegments()
        for place in segments.indices {
            try firstPass(place)
            // What a process that died had written and not synced is reported as durable from now on.
            try segments[place].file.sync()
        }
        try secondPass()
        let ledgerSegments = segments.map { segment in
            SpoolLedger.Segment(
                number: segment.number, firstLSN: segment.head.firstLSN, bytes: segment.length,
                unsettledRows: unsettled[segment.number] ?? 0, created: segment.head.created)
        }
        recovery.ledger = SpoolLedger(
            segments: ledgerSegments, records: records, blocks: blocks, lastBlock: lastBlock, totals: totals)
        recovery.unsettledRows = recovery.ledger.unsettledRows
        recovery.blocks = blocks.values.sorted { $0.id < $1.id }
    }

    private mutating func findSegments() throws {
        let numbers = try disk.names().compactMap(SpoolFormat.number(ofFile:)).sorted()
        recovery.lastSegment = numbers.last ?? 0
        for number in numbers {
            let name = SpoolFormat.fileName(of: number)
            let file = try disk.open(name)
            let length = try file.length()
            // One that was begun in the reserve gives back what it did not need.
            try file.truncate(to: length)
            switch SpoolFormat.SegmentHead.read(try file.read(at: 0, count: SpoolFormat.segmentHeadBytes)) {
            case .otherVersion(let version):
                throw SpoolError(
                    .otherVersion,
                    "\(name) of the spool has format \(version), this sluice reads \(SpoolFormat.version)")
            case .none:
                if number == numbers.last, try !SegmentScan.findsRecords(in: file) {
                    // Never got as far as its head; nothing in it was ever relied on.
                    recovery.damage.tornBytes += length
                    try disk.remove(name)
                } else {
                    recovery.damage.segments += 1
                    recovery.damage.bytes += length
                    try disk.rename(name, to: "\(number.hex16).bad")
                }
            case .head(let head):
                if let spool = recovery.spool, spool != head.spool {
                    throw SpoolError(.mixedSpools, "\(name) belongs to another spool than the segments before it")
                }
                recovery.spool = head.spool
                // One that was begun and never used: the next one does not know it.
                while let last = segments.last, last.number > head.previousNumber {
                    try disk.remove(SpoolFormat.fileName(of: last.number))
                    segments.removeLast()
                }
                if let last = segments.last {
                    if head.previousNumber == last.number {
                        segments[segments.count - 1].length = min(last.length, Int(clamping: head.previousBytes))
                    } else {
                        recovery.damage.segments += 1
                    }
                }
                segments.append(
                    Segment(number: number, head: head, file: file, length: length, lastLSN: head.firstLSN))
            }
        }
    }

    // MARK: First pass: what was sealed and settled, and who sent what

    private mutating func firstPass(_ place: Int) throws {
        let isLast = place == segments.count - 1
        var scan = try SegmentScan(segments[place].file, length: segments[place].length)
        while let item = try scan.next() {
            switch item {
            case .record(let head, _, let body):
                recovery.lastLSN = max(recovery.lastLSN, head.lsn)
                segments[place].lastLSN = head.lsn
                do {
                    try take(head, body, segment: place)
                } catch {
                    damaged(head.bytes)
                }
            case .damage(let from, let to):
                try keepACopy(of: place)
                damaged(to - from)
            case .tail(let from):
                let bytes = segments[place].length - from
                if isLast {
                    recovery.damage.tornBytes += bytes
                    try segments[place].file.truncate(to: from)
                } else {
                    try keepACopy(of: place)
                    damaged(bytes)
                }
                segments[place].length = from
            }
        }
    }

    private mutating func damaged(_ bytes: Int) {
        recovery.damage.places += 1
        recovery.damage.bytes += bytes
    }

    /// Damage is for people to look at: the bytes are kept as they were found, once. Not on a disk without room for them.
    private func keepACopy(of place: Int) throws {
        let name = "\(segments[place].number.hex16).bad"
        guard try !disk.names().contains(name) else { return }
        do {
            try copy(place, to: name)
        } catch let error as SpoolDiskError where error.isOutOfSpace {
            try disk.remove(name)
        }
    }

    private func copy(_ place: Int, to name: String) throws {
        let copy = try disk.create(name)
        var offset = 0
        while offset < segments[place].length {
            let piece = try segments[place].file.read(at: offset, count: min(4 << 20, segments[place].length - offset))
            guard piece.readableBytes > 0 else { break }
            try copy.write(piece, at: offset)
            offset += piece.readableBytes
        }
    }

    private mutating func take(_ head: SpoolFormat.RecordHead, _ body: ByteBuffer, segment: Int) throws(SpoolBodyError)
    {
        switch head.kind {
        case .rows:
            let rows = try SpoolFormat.readRows(body)
            segments[segment].rows += rows.rows
            totals.accepted += UInt64(rows.rows)
            for span in rows.spans { registry.restore(span) }
        case .seal: for block in try SpoolFormat.readSeal(body) { seal(block) }
        case .split:
            let (parent, children) = try SpoolFormat.readSplit(body)
            blocks[parent] = nil
            for child in children { seal(child) }
        case .settled:
            for one in try SpoolFormat.readSettled(body) {
                // Written anew after a sync that failed, a settlement may be there twice.
                guard settledBlocks.insert(one.id).inserted else { continue }
                totals.settled(one.rows, as: one.outcome)
                guard let block = blocks.removeValue(forKey: one.id) else { continue }
                for part in block.parts { settledRows[part.lsn, default: 0] += part.rows }
            }
        case .discard:
            let (_, parts) = try SpoolFormat.readDiscard(body)
            for part in parts {
                note(part)
                settledRows[part.lsn, default: 0] += part.rows
                totals.settled(part.rows, as: .discarded)
            }
        case .state:
            let state = try SpoolFormat.readState(body)
            lastBlock = max(lastBlock, state.lastBlock)
            for producer in state.producers { registry.restore(producer) }
            guard isFirstState else { return }
            isFirstState = false
            totals = state.totals
            // What came before the oldest segment is settled.
            for producer in state.producers {
                let known = registry.find(producer.identity)
                for run in producer.durable.runs { known?.becameSettled(run) }
            }
        }
    }

    private mutating func seal(_ block: SealedParts) {
        blocks[block.id] = block
        lastBlock = max(lastBlock, block.id)
        for part in block.parts { note(part) }
    }

    private mutating func note(_ part: SpoolPart) {
        lastSealed = max(lastSealed, part.lsn)
        sealed.insert(SealedPlace(lsn: part.lsn, part: part.part))
    }

    // MARK: Second pass: where the rows lie that are still needed

    private var unsettled: [UInt64: Int] = [:]
    private var records: [UInt64: SpoolLedger.Record] = [:]

    private mutating func secondPass() throws {
        for segment in segments {
            guard segment.head.firstLSN <= lastSealed else {
                unsettled[segment.number] = segment.rows
                if recovery.backlog == nil {
                    recovery.backlog = SpoolLocation(segment: segment.number, offset: SpoolFormat.segmentHeadBytes)
                }
                continue
            }
            var scan = try SegmentScan(segment.file, length: segment.length)
            while let item = try scan.next() {
                guard case .record(let head, let offset, let body) = item, head.kind == .rows,
                    let rows = try? SpoolFormat.readRows(body)
                else { continue }
                let location = SpoolLocation(segment: segment.number, offset: offset)
                guard head.lsn <= lastSealed else {
                    if recovery.backlog == nil { recovery.backlog = location }
                    unsettled[segment.number, default: 0] += rows.rows
                    continue
                }
                take(rows, head.lsn, location)
            }
        }
        dropLostParts()
    }

    private mutating func take(_ rows: SpoolFormat.RowsHead, _ lsn: UInt64, _ location: SpoolLocation) {
        let left = rows.rows - (settledRows[lsn] ?? 0)
        guard left > 0 else {
            for span in rows.spans { registry.find(span.identity)?.becameSettled(span.range) }
            return
        }
        unsettled[location.segment, default: 0] += left
        records[lsn] = SpoolLedger.Record(location: location, unsettledRows: left, spans: rows.spans)
        recovery.locations[lsn] = location
        let parts = rows.parts.indices.filter { !sealed.contains(SealedPlace(lsn: lsn, part: $0)) }
        if !parts.isEmpty { recovery.leftovers.append(.init(lsn: lsn, location: location, parts: parts)) }
    }

    /// Blocks lose the rows whose record could not be read; a block without any is no block.
    private mutating func dropLostParts() {
        for (id, block) in blocks {
            let kept = block.parts.filter { records[$0.lsn] != nil }
            guard kept.count < block.parts.count else { continue }
            let whole = SealedParts(id: id, table: block.table, parts: kept)
            recovery.damage.rowsOfBlocks += block.rows - whole.rows
            blocks[id] = kept.isEmpty ? nil : whole
        }
    }
}
