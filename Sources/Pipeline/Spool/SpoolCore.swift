import ClickHouseNative
import NIOCore

/// What is to be written, with what it changes.
public enum SpoolEntry: Sendable {
    /// - Parameter rows: of each row batch.
    case rows(PreparedRecord, rows: [Int], spans: [ProducerSpan])
    case seal([SealedParts])
    case settled(id: UInt64, BlockOutcome)
    case split(parent: UInt64, [SealedParts])
    case discard([SpoolPart], reason: String)

    /// Whether somebody relies on it from the moment it was reported. A settlement that is lost costs one more attempt.
    var needsSync: Bool {
        if case .settled = self { false } else { true }
    }

    /// Whether it makes the spool larger for longer.
    var isRows: Bool {
        if case .rows = self { true } else { false }
    }
}

/// Where a record lies.
public struct SpoolLocation: Hashable, Sendable {
    public let segment: UInt64
    public let offset: Int
}

/// The spool without streams, tasks or waits: what is written when, what is read back, what is deleted. Everything that
/// the delivery contract needs of a disk is here, so that a simulation can take it through every kind of crash.
///
/// Not thread-safe: it belongs to one actor.
public final class SpoolCore {
    public private(set) var settings: SpoolSettings
    public let id: SpoolID
    private let disk: any SpoolDisk
    private let registry: ProducerRegistry
    private let wallClock: @Sendable () -> Int64
    private(set) var ledger: SpoolLedger
    private var current: Current?
    private var files: [UInt64: any SpoolFile] = [:]
    /// Settlements that are written and not synced, in case a sync fails: they are then written anew.
    private var unsynced: [Unsynced] = []
    private var mustRewrite = false
    private var nextLSN: UInt64
    private var nextSegment: UInt64
    /// What an earlier run left.
    public let restored: SpoolRecovery

    private struct Unsynced {
        let record: PreparedRecord
        let outcome: BlockOutcome
        let rows: Int
    }

    private struct Current {
        let number: UInt64
        let file: any SpoolFile
        /// It lies in what was the reserve: no rows may use that up.
        var isReserve: Bool
        /// All of it is written; up to `synced` also durable.
        var length: Int
        var synced: Int
    }

    private var reserve = SpoolReserve()

    /// Rows are read into those.
    private let buffers: BufferPool

    /// Where rows were read last.
    private var reading: (segment: UInt64, scan: SegmentScan)?

    /// Open files that were read from lately.
    private static let openFilesMax = 8

    /// Takes over the bounds, the policy and the ages; where it lies and how it is written stay as they are.
    func reconfigure(_ settings: SpoolSettings) {
        self.settings.bytesMax = settings.bytesMax
        self.settings.reserveBytes = settings.reserveBytes
        self.settings.freeBytesMin = settings.freeBytesMin
        self.settings.fullPolicy = settings.fullPolicy
        self.settings.ageMax = settings.ageMax
        self.settings.memoryMax = settings.memoryMax
        self.settings.groupBytes = settings.groupBytes
        self.settings.syncInterval = settings.syncInterval
    }

    /// Reads what is there. Nothing is written yet but cuts of torn tails.
    ///
    /// - Parameters:
    ///   - buffers: rows are read into those.
    ///   - random: for the name of a new spool.
    /// - Throws: `SpoolError` for a spool that this version does not read; `SpoolDiskError`.
    public init(
        disk: any SpoolDisk, settings: SpoolSettings, registry: ProducerRegistry,
        wallClock: @escaping @Sendable () -> Int64, buffers: BufferPool = .none,
        random: () -> UInt64 = { .random(in: 0 ... .max) }
    ) throws {
        self.buffers = buffers
        self.disk = disk
        self.settings = settings
        self.registry = registry
        self.wallClock = wallClock
        var recovery = try SpoolRecovery.read(disk, registry: registry)
        id = recovery.spool ?? SpoolID(high: random(), low: random())
        ledger = recovery.ledger
        nextLSN = recovery.lastLSN + 1
        nextSegment = recovery.lastSegment + 1
        recovery.ledger = SpoolLedger()
        restored = recovery
        keepReserve()
    }

    // MARK: Figures

    public var bytes: Int { ledger.bytes }
    public var segments: Int { ledger.segments.count }
    public var unsettledRows: Int { ledger.unsettledRows }
    public var totals: SpoolTotals { ledger.totals }
    /// When the oldest row that is not settled was written, in milliseconds since 1970; nil: there is nothing that waits.
    public var oldest: Int64? { ledger.oldest }
    /// Records that were handed on and are not settled.
    public var recordsHeld: Int { ledger.records.count }
    public var lastLSN: UInt64 { nextLSN - 1 }
    /// What there is of `SpoolSettings.reserveBytes`; 0: nothing.
    var reserved: Int { reserve.bytes }

    /// Whether rows of so many bytes may be written now.
    public func hasRoom(for bytes: Int) -> Bool {
        let used = ledger.bytes
        // A record that is larger than the whole budget would wait for ever.
        guard used + bytes <= settings.bytesMax || ledger.unsettledRows == 0 else { return false }
        // What would ship them comes first.
        guard hasWholeReserve() else { return false }
        guard let free = disk.freeBytes() else { return true }
        return free >= settings.freeBytesMin + bytes
    }

    public func token(of block: UInt64) -> String { id.token(of: block) }

    /// Ids for blocks that are about to be sealed.
    public func allocateBlocks(_ count: Int) -> [UInt64] {
        defer { ledger.lastBlock += UInt64(count) }
        return (0..<UInt64(count)).map { ledger.lastBlock + 1 + $0 }
    }

    // MARK: Writing

    /// What a commit did.
    public struct Commit: Sendable {
        /// Of each rows entry, in their order.
        public var places: [(lsn: UInt64, location: SpoolLocation)] = []
        /// Row numbers that are settled by it.
        public var settled: [ProducerSpan] = []
    }

    /// Writes entries as one group. When it throws, nothing of it counts, and the same entries may be given again.
    ///
    /// Seals and settlements have a reserve on a disk that is full: without them nothing would be shipped, and nothing deleted.
    public func commit(_ entries: [SpoolEntry]) throws(SpoolDiskError) -> Commit {
        guard !entries.isEmpty else { return Commit() }
        let hasRows = entries.contains(where: \.isRows)
        do {
            return try write(entries, hasRows: hasRows)
        } catch {
            guard error.isOutOfSpace, !hasRows else { throw error }
            if reserve.bytes == 0 { keepReserve() }
            guard reserve.bytes > 0 else { throw error }
            try leave()
            try beginSegment(inReserve: true)
            return try write(entries, hasRows: false)
        }
    }

    private func write(_ entries: [SpoolEntry], hasRows: Bool) throws(SpoolDiskError) -> Commit {
        if let open = current, open.isReserve ? hasRows : open.length >= settings.segmentBytes {
            try leave()
            do {
                try beginSegment()
            } catch {
                // What is left of the reserve is still there for what is no rows.
                if open.isReserve { current = open }
                throw error
            }
        }
        if current == nil { try beginSegment() }
        guard var open = current else { preconditionFailure("a segment is open") }

        var records = SpoolPieces()
        var places: [(lsn: UInt64, location: SpoolLocation)] = []
        var lsn = nextLSN
        if mustRewrite {
            for settlement in unsynced {
                records.append(settlement.record, lsn: lsn)
                lsn += 1
            }
        }
        var settlements: [Unsynced] = []
        for entry in entries {
            let record = entry.prepared ?? prepare(entry)
            if case .settled(let id, let outcome) = entry {
                settlements.append(Unsynced(record: record, outcome: outcome, rows: ledger.blocks[id]?.rows ?? 0))
            }
            if entry.isRows {
                places.append((lsn, SpoolLocation(segment: open.number, offset: open.length + records.bytes)))
            }
            records.append(record, lsn: lsn)
            lsn += 1
        }
        do {
            try open.file.write(records.pieces, at: open.length)
        } catch {
            giveUpTail(open)
            throw error
        }
        if settings.sync == .always {
            if mustRewrite || entries.contains(where: \.needsSync) || wouldFree(entries) {
                do {
                    try open.file.sync()
                } catch {
                    syncFailed(open)
                    throw error
                }
                open.synced = open.length + records.bytes
                unsynced = []
                mustRewrite = false
            } else {
                unsynced += settlements
            }
        }
        open.length += records.bytes
        current = open
        ledger.wrote(bytes: records.bytes)
        nextLSN = lsn
        let commit = apply(entries, places)
        deleteSettled()
        return commit
    }

    /// From here on only the next segment is synced; what lets go of rows must not be lost in this one.
    private func leave() throws(SpoolDiskError) {
        if settings.sync != .never { try sync() }
        if let open = current, open.isReserve { reserve.giveBack(open.file, to: open.length) }
        current = nil
    }

    /// For `spool.sync: interval`, and the end.
    public func sync() throws(SpoolDiskError) {
        guard let open = current, open.synced < open.length else { return }
        do {
            try open.file.sync()
        } catch {
            syncFailed(open)
            throw error
        }
        current?.synced = open.length
        unsynced = []
        deleteSettled()
    }

    /// What a failed sync left behind the last one that did not is anybody's guess. So the segment ends there; what was written behind it is
    /// in `unsynced`, or its caller gives it again. With another setting than `sync: always` it stays, for what it is worth.
    private func syncFailed(_ open: Current) {
        current = nil
        guard settings.sync == .always else { return }
        ledger.cut(toBytes: open.synced)
        mustRewrite = !unsynced.isEmpty
        reserve.giveBack(open.file, to: open.synced)
    }

    private func apply(_ entries: [SpoolEntry], _ places: [(lsn: UInt64, location: SpoolLocation)]) -> Commit {
        var commit = Commit(places: places)
        var next = places.makeIterator()
        let now = wallClock()
        for entry in entries {
            switch entry {
            case .rows(_, let rows, let spans):
                guard let place = next.next() else { break }
                ledger.rowsWritten(
                    lsn: place.lsn, rows: rows.reduce(0, +), spans: spans, location: place.location, at: now)
                if rows.isEmpty { commit.settled += spans }
            case .seal(let blocks): ledger.sealed(blocks)
            case .settled(let id, let outcome): commit.settled += ledger.settled(id, as: outcome)
            case .split(let parent, let children): ledger.split(parent, into: children)
            case .discard(let parts, _): commit.settled += ledger.discarded(parts)
            }
        }
        return commit
    }

    private func prepare(_ entry: SpoolEntry) -> PreparedRecord {
        switch entry {
        case .rows(let record, _, _): record
        case .seal(let blocks): SpoolFormat.seal(blocks)
        case .settled(let id, let outcome):
            SpoolFormat.settled([.init(id: id, outcome: outcome, rows: ledger.blocks[id]?.rows ?? 0)])
        case .split(let parent, let children): SpoolFormat.split(parent: parent, into: children)
        case .discard(let parts, let reason): SpoolFormat.discard(parts, reason: reason)
        }
    }

    /// Whether the settlements among the entries, once they are durable, let go of a segment.
    private func wouldFree(_ entries: [SpoolEntry]) -> Bool {
        guard ledger.segments.count > 1 else { return false }
        var rows: [UInt64: Int] = [:]
        for case .settled(let id, _) in entries {
            for part in ledger.blocks[id]?.parts ?? [] {
                if let record = ledger.records[part.lsn] { rows[record.location.segment, default: 0] += part.rows }
            }
        }
        let oldest = ledger.segments[0]
        return rows[oldest.number] == oldest.unsettledRows
    }

    private func beginSegment(inReserve: Bool = false) throws(SpoolDiskError) {
        // A number is never used twice: what failed may have left a file.
        let number = nextSegment
        nextSegment += 1
        let name = SpoolFormat.fileName(of: number)
        let created = wallClock()
        var bytes = SpoolFormat.SegmentHead(
            spool: id, number: number, firstLSN: nextLSN, created: created,
            previousBytes: UInt64(ledger.segments.last?.bytes ?? 0), previousNumber: ledger.segments.last?.number ?? 0
        ).encoded()
        // Settlements that are about to be written anew count where they are written.
        var totals = ledger.totals
        if mustRewrite {
            for one in unsynced { totals.unsettled(one.rows, as: one.outcome) }
        }
        let state = SpoolFormat.State(lastBlock: ledger.lastBlock, totals: totals, producers: registry.memories())
        SpoolFormat.write(SpoolFormat.state(state), lsn: nextLSN, into: &bytes)
        let file = inReserve ? try reserve.take(as: name, on: disk) : try disk.create(name)
        do {
            try file.write(bytes, at: 0)
            if settings.sync == .always { try file.sync() }
        } catch {
            try? disk.remove(name)
            throw error
        }
        let length = bytes.readableBytes
        ledger.segmentBegan(
            .init(number: number, firstLSN: nextLSN, bytes: length, created: created))
        nextLSN += 1
        current = Current(number: number, file: file, isReserve: inReserve, length: length, synced: length)
        files[number] = file
        if !inReserve { keepReserve() }
    }

    private func keepReserve() { reserve.keep(settings.reserveBytes, on: disk) }

    private func hasWholeReserve() -> Bool {
        if !reserve.isWhole(settings.reserveBytes) { keepReserve() }
        // There is another one: what is left of the one before is for everybody. Now or never: it goes on growing.
        if reserve.bytes > 0, let open = current, open.isReserve, (try? open.file.truncate(to: open.length)) != nil {
            current?.isReserve = false
            keepReserve()
        }
        return reserve.isWhole(settings.reserveBytes)
    }

    /// Cuts off what of a group arrived. If that fails, too, the segment is left, and the next one says up to where it counts.
    private func giveUpTail(_ open: Current) {
        do {
            try open.file.truncate(to: open.length)
        } catch {
            syncFailed(open)
        }
    }

    private func deleteSettled() {
        // A settlement outlives what it settled.
        guard settings.sync != .interval || current.map({ $0.synced == $0.length }) ?? true else { return }
        while let oldest = ledger.deletable, oldest.number != current?.number {
            do {
                try disk.remove(SpoolFormat.fileName(of: oldest.number))
            } catch {
                // Next time.
                return
            }
            files[oldest.number] = nil
            if reading?.segment == oldest.number { reading = nil }
            ledger.deletedOldest()
            keepReserve()
        }
    }

    // MARK: Reading

    /// The next rows record at or behind a location.
    public func read(from location: SpoolLocation) throws(SpoolDiskError) -> Reading {
        var location = location
        while true {
            guard let place = ledger.segments.firstIndex(where: { $0.number >= location.segment }) else { return .end }
            let segment = ledger.segments[place]
            if segment.number > location.segment {
                location = SpoolLocation(segment: segment.number, offset: SpoolFormat.segmentHeadBytes)
            }
            var scan = try scan(of: segment, from: location.offset)
            reading = nil
            defer { reading = (segment.number, scan) }
            while let item = try scan.next() {
                switch item {
                case .record(let head, let offset, let body):
                    guard head.kind == .rows else { continue }
                    let next = SpoolLocation(segment: segment.number, offset: offset + head.bytes)
                    guard let rows = try? SpoolFormat.readRows(body) else { return .damage(next: next) }
                    return .rows(
                        StoredRows(
                            lsn: head.lsn, location: SpoolLocation(segment: segment.number, offset: offset), body: body,
                            head: rows, next: next))
                case .damage(_, let to):
                    return .damage(next: SpoolLocation(segment: segment.number, offset: to))
                case .tail: break
                }
            }
            guard place + 1 < ledger.segments.count else { return .end }
            location = SpoolLocation(
                segment: ledger.segments[place + 1].number, offset: SpoolFormat.segmentHeadBytes)
        }
    }

    /// Goes on where the last record ended, if it is that one: what was read of the file beyond it is then at hand.
    private func scan(of segment: SpoolLedger.Segment, from offset: Int) throws(SpoolDiskError) -> SegmentScan {
        if let reading, reading.segment == segment.number, reading.scan.offset == offset {
            var scan = reading.scan
            scan.set(length: segment.bytes)
            return scan
        }
        return try SegmentScan(try open(segment.number), from: offset, length: segment.bytes, buffers: buffers)
    }

    /// Where the next record will be written at the earliest.
    public var end: SpoolLocation {
        current.map { SpoolLocation(segment: $0.number, offset: $0.length) }
            ?? SpoolLocation(segment: nextSegment, offset: SpoolFormat.segmentHeadBytes)
    }

    /// A record is only on disk from now on.
    public func forget(lsn: UInt64) { ledger.forget(lsn: lsn) }

    /// A record is handed on.
    public func remember(_ stored: StoredRows) {
        ledger.remember(
            lsn: stored.lsn, at: stored.location, rows: stored.rows.reduce(0, +), spans: stored.spans)
    }

    /// What a block is made of; nil: it is settled, or was split.
    public func parts(of block: UInt64) -> SealedParts? { ledger.blocks[block] }

    /// Where a record lies that was handed on and is not settled.
    public func location(of lsn: UInt64) -> SpoolLocation? { ledger.records[lsn]?.location }

    private func open(_ number: UInt64) throws(SpoolDiskError) -> any SpoolFile {
        if let file = files[number] { return file }
        let file = try disk.open(SpoolFormat.fileName(of: number))
        if files.count >= Self.openFilesMax {
            for known in files.keys where known != current?.number { files[known] = nil }
        }
        files[number] = file
        return file
    }
}

extension SpoolEntry {
    fileprivate var prepared: PreparedRecord? {
        if case .rows(let record, _, _) = self { record } else { nil }
    }
}
