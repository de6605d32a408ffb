import ClickHouseNative
import Logging

/// Makes rows durable between validate and batch, and brings them back: from memory while shipping keeps up, from disk when it
/// does not, or after a crash.
///
/// The shell around `SpoolCore`: it groups what is to be written, waits for room, tells producers, and feeds the stages behind. It runs on
/// a thread of its own, where it may block.
public actor SpoolStage: Stage {
    public nonisolated let name = "spool"
    /// Longest wait between attempts to write.
    static let retryDelayMax: Duration = .seconds(5)
    static let retryDelayMin: Duration = .milliseconds(50)
    /// How long to wait before looking for room again, if nothing is settled meanwhile.
    static let roomCheckInterval: Duration = .seconds(1)

    private let executor = BlockingExecutor(label: "sluice.spool")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    let core: SpoolCore
    private let input: BoundedStream<Intake>
    private let batches: BoundedStream<RowBatch>
    let blocks: BoundedStream<SealedBlock>
    private let registry: ProducerRegistry
    let telemetry: Telemetry
    let logger: Logger
    let clock: StageClock
    let wallClock: @Sendable () -> Int64
    private let recycle: @Sendable ([Block]) -> Void
    private let layouts = StoredLayouts()
    /// `Settings.compressesOnce`
    private(set) var compressesOnce: Bool
    private let held = Gauge()
    /// Blocks that the sink gave back for a while.
    public nonisolated let setAside: SetAside

    private struct Waiting {
        let entries: [SpoolEntry]
        /// What the rows among the entries came from.
        let intakes: [Intake]
        let continuation: CheckedContinuation<SpoolCore.Commit, Never>
    }

    /// To be written.
    private var waiting: [Waiting] = []
    private var isWriting = false
    /// Durable, in memory, and to be handed on next: what follows is `backlog`, or nothing.
    private var window: [Fed] = []
    private var windowBytes = 0
    /// Where the first record lies that was not handed on and is not in the window; nil: there is none.
    private var backlog: SpoolLocation? {
        didSet { hasBacklog.isThere = backlog != nil }
    }
    private let hasBacklog: SpoolBacklog
    private(set) var isInputEnded = false
    private var feederWaits: CheckedContinuation<Void, Never>?
    private var roomWaits: CheckedContinuation<Void, Never>?
    private var lastSpaceWarning: StageClock.Instant?

    private struct Fed {
        let batches: [RowBatch]
        let rows: Int
        let bytes: Int
    }

    /// - Parameters:
    ///   - batches: what has to be batched.
    ///   - blocks: what an earlier run had sealed and not settled.
    ///   - compressesOnce: `Settings.compressesOnce`
    ///   - hasBacklog: is told whether rows go on from the disk.
    public init(
        core: SpoolCore, input: BoundedStream<Intake>, batches: BoundedStream<RowBatch>,
        blocks: BoundedStream<SealedBlock>, registry: ProducerRegistry, telemetry: Telemetry, logger: Logger,
        clock: StageClock = .continuous, wallClock: @escaping @Sendable () -> Int64,
        compressesOnce: Bool = false, hasBacklog: SpoolBacklog = SpoolBacklog(),
        recycle: @escaping @Sendable ([Block]) -> Void = { _ in }
    ) {
        self.core = core
        self.input = input
        self.batches = batches
        self.blocks = blocks
        self.registry = registry
        self.telemetry = telemetry
        self.logger = logger
        self.clock = clock
        self.wallClock = wallClock
        self.recycle = recycle
        self.compressesOnce = compressesOnce
        setAside = SetAside(telemetry: telemetry.spool, clock: clock)
        self.hasBacklog = hasBacklog
        backlog = core.restored.backlog
        hasBacklog.isThere = backlog != nil
    }

    /// Rows that are in memory here; those on disk are not lost when the daemon stops.
    public nonisolated var rowsHeld: Int { held.current }

    public func run() async throws {
        defer { batches.finish() }
        announce()
        report()
        async let _: Void = returnBlocks()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.takeIn() }
            group.addTask { try await self.feed() }
            if core.settings.sync == .interval { group.addTask { await self.syncNowAndThen() } }
            try await group.next()
            try await group.next()
            group.cancelAll()
        }
        try? core.sync()
        try Task.checkCancellation()
        // Ends when it goes out of scope: what is set aside then waits for the next run.
    }

    private func announce() {
        let restored = core.restored
        telemetry.spool.damagedPlaces.add(restored.damage.places + restored.damage.segments)
        if restored.damage.places + restored.damage.segments > 0 {
            logger.error(
                "parts of the spool could not be read; the segments are kept as .bad",
                metadata: [
                    "places": "\(restored.damage.places)", "bytes": "\(restored.damage.bytes)",
                    "segments_missing": "\(restored.damage.segments)",
                    "rows_of_sealed_blocks": "\(restored.damage.rowsOfBlocks)",
                ])
        }
        if restored.unsettledRows > 0 {
            logger.notice(
                "rows of an earlier run are in the spool",
                metadata: [
                    "rows": "\(restored.unsettledRows)", "sealed_blocks": "\(restored.blocks.count)",
                    "torn_bytes": "\(restored.damage.tornBytes)",
                ])
        }
        telemetry.spool.restoredRows.add(restored.unsettledRows)
        if core.settings.reserveBytes > 0, core.reserved == 0 {
            logger.warning("there is no room for the spool's reserve: should the disk be full, nothing can be shipped")
        }
    }

    /// Other bounds, policy and ages, from the next rows on. See `SpoolCore.reconfigure`.
    public func reconfigure(_ settings: SpoolSettings, compressesOnce: Bool) {
        core.reconfigure(settings)
        self.compressesOnce = compressesOnce
        telemetry.spool.bytesMax.set(settings.bytesMax)
        if settings.fullPolicy != .reject { registry.setClosed(false) }
        // Whoever waits for room sees whether there is some now.
        roomMayBeThere()
    }

    // MARK: Taking in

    private func takeIn() async throws {
        defer {
            isInputEnded = true
            feederWaits.take()?.resume()
        }
        while let intakes = await input.nextBatch(maxElements: 256, maxBytes: groupBytes) {
            let rows = intakes.reduce(0) { $0 + $1.rows }
            held.add(rows)
            defer { held.subtract(rows) }
            guard try await waitForRoom(intakes) else { continue }
            _ = await write(intakes.compactMap(\.entry), of: intakes)
        }
        try Task.checkCancellation()
    }

    /// No group may need more room than there ever is.
    private var groupBytes: Int { min(core.settings.groupBytes, core.settings.bytesMax / 8) }

    /// They are durable: producers hear of it, and the rows go on, or wait on disk.
    private func taken(_ intakes: [Intake], _ places: [(lsn: UInt64, location: SpoolLocation)]) {
        for (intake, place) in zip(intakes, places) {
            if !intake.batches.isEmpty { handOn(intake, place.lsn, place.location) }
        }
        for intake in intakes {
            for numbered in intake.numbered {
                numbered.producer.becameDurable(numbered.range, refusals: numbered.refusals)
                if intake.batches.isEmpty { numbered.producer.becameSettled(numbered.range) }
            }
        }
    }

    private func handOn(_ intake: Intake, _ lsn: UInt64, _ location: SpoolLocation) {
        let bytes = intake.batchMemory
        guard backlog == nil, window.isEmpty || windowBytes + bytes <= core.settings.memoryMax else {
            if backlog == nil { backlog = location }
            core.forget(lsn: lsn)
            recycle(intake.batches.compactMap(\.part.whole))
            return
        }
        window.append(
            Fed(
                batches: intake.batches.enumerated().map { part, batch in
                    var batch = batch
                    batch.place = SpoolPlace(lsn: lsn, part: part)
                    return batch
                }, rows: intake.rows, bytes: bytes))
        windowBytes += bytes
        feederWaits.take()?.resume()
    }

    /// - Returns: Whether the rows are to be written; otherwise they were turned away.
    private func waitForRoom(_ intakes: [Intake]) async throws -> Bool {
        let bytes = intakes.reduce(0) { $0 + $1.bytes }
        while !core.hasRoom(for: bytes) {
            warnOfFullness()
            switch core.settings.fullPolicy {
            case .block: break
            case .reject:
                // What was taken waits like everything else; nothing more is taken from them.
                registry.setClosed(true)
                for numbered in intakes.flatMap(\.numbered) { numbered.producer.turnAway(because: "spool_full") }
            case .discardNewest:
                discard(intakes)
                return false
            }
            telemetry.spool.isFull.set(1)
            let timer = Task { [clock] in
                guard (try? await clock.sleep(for: Self.roomCheckInterval)) != nil else { return }
                self.roomMayBeThere()
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { roomWaits = $0 }
            } onCancel: {
                Task { await self.roomMayBeThere() }
            }
            timer.cancel()
            try Task.checkCancellation()
        }
        telemetry.spool.isFull.set(0)
        if core.settings.fullPolicy == .reject { registry.setClosed(false) }
        return true
    }

    private func roomMayBeThere() { roomWaits.take()?.resume() }

    private func discard(_ intakes: [Intake]) {
        for intake in intakes {
            telemetry.discardedRows.add(intake.rows, reason: "spool_full")
            for numbered in intake.numbered {
                numbered.producer.becameDurable(numbered.range, refusals: numbered.refusals)
                numbered.producer.becameSettled(numbered.range)
            }
            recycle(intake.batches.compactMap(\.part.whole))
        }
    }

    private func warnOfFullness() {
        let now = clock.now
        if let last = lastSpaceWarning, now - last < .seconds(30) { return }
        lastSpaceWarning = now
        logger.error(
            "the spool is full",
            metadata: [
                "bytes": "\(core.bytes)", "bytes_max": "\(core.settings.bytesMax)",
                "policy": "\(core.settings.fullPolicy.rawValue)",
            ])
    }

    // MARK: Writing

    /// Entries are durable when this returns; it waits for as long as that takes.
    func write(_ entries: [SpoolEntry], of intakes: [Intake] = []) async -> SpoolCore.Commit {
        guard !entries.isEmpty else { return SpoolCore.Commit() }
        return await withCheckedContinuation { continuation in
            waiting.append(Waiting(entries: entries, intakes: intakes, continuation: continuation))
            guard !isWriting else { return }
            isWriting = true
            Task { await self.writeAll() }
        }
    }

    /// Writes group after group until nobody waits.
    private func writeAll() async {
        defer { isWriting = false }
        var delay = Self.retryDelayMin
        while !waiting.isEmpty {
            // Seals and settlements go first where rows cannot: they are what makes room.
            var group = waiting
            waiting = []
            while !group.isEmpty {
                do {
                    try commit(group)
                    group = []
                    delay = Self.retryDelayMin
                } catch {
                    failed(error)
                    let control = group.filter { !$0.entries.contains(where: \.isRows) }
                    if !control.isEmpty, control.count < group.count, (try? commit(control)) != nil {
                        group.removeAll { !$0.entries.contains(where: \.isRows) }
                    }
                    try? await clock.sleep(for: delay)
                    delay = min(delay * 2, Self.retryDelayMax)
                    // What came meanwhile may make room.
                    group += waiting.filter { !$0.entries.contains(where: \.isRows) }
                    waiting.removeAll { !$0.entries.contains(where: \.isRows) }
                }
            }
            // Those that were told run now, and what they write next joins the next group.
            await Task.yield()
        }
    }

    private func commit(_ group: [Waiting]) throws(SpoolDiskError) {
        let start = clock.now
        let commit = try core.commit(group.flatMap(\.entries))
        telemetry.spool.commitLatency.observe(clock.now - start)
        telemetry.spool.commits.add()
        for span in commit.settled { registry.find(span.identity)?.becameSettled(span.range) }
        var places = commit.places[...]
        for one in group {
            let count = one.entries.reduce(0) { $0 + ($1.isRows ? 1 : 0) }
            // At once, before anybody can read from the disk what is about to be handed on from memory.
            if !one.intakes.isEmpty { taken(one.intakes, Array(places.prefix(count))) }
            one.continuation.resume(
                returning: SpoolCore.Commit(places: Array(places.prefix(count)), settled: []))
            places = places.dropFirst(count)
        }
        report()
        roomMayBeThere()
    }

    private func failed(_ error: SpoolDiskError) {
        telemetry.spool.errors.add(reason: error.reason)
        logger.error("the spool cannot be written, it is tried again", metadata: ["error": "\(error)"])
    }

    private func syncNowAndThen() async {
        while (try? await clock.sleep(for: core.settings.syncInterval)) != nil {
            do {
                try core.sync()
            } catch {
                failed(error)
            }
        }
    }

    private func report() {
        telemetry.spool.bytes.set(core.bytes)
        telemetry.spool.segments.set(core.segments)
        telemetry.spool.unsettledRows.set(core.unsettledRows)
        telemetry.spool.oldest.set(Int(core.oldest ?? 0))
    }

    // MARK: Handing on

    private func feed() async throws {
        try await sendRestoredBlocks()
        for leftover in core.restored.leftovers {
            guard !isInputEnded else { return }
            if case .rows(let stored) = try await read(from: leftover.location), stored.lsn == leftover.lsn {
                try await send(try await decode(stored, parts: leftover.parts, keepsFrames: compressesOnce))
            }
        }
        while true {
            if !window.isEmpty {
                let next = window.removeFirst()
                windowBytes -= next.bytes
                held.add(next.rows)
                defer { held.subtract(next.rows) }
                try await send(next.batches)
            } else if let from = backlog, !isInputEnded {
                try await sendBacklog(from: from)
            } else if isInputEnded {
                // What is only on disk waits for the next run.
                return
            } else {
                await withTaskCancellationHandler {
                    await withCheckedContinuation { feederWaits = $0 }
                } onCancel: {
                    Task { await self.wakeFeeder() }
                }
                try Task.checkCancellation()
            }
        }
    }

    private func wakeFeeder() { feederWaits.take()?.resume() }

    private func sendBacklog(from location: SpoolLocation) async throws {
        switch try await read(from: location) {
        case .end:
            // Caught up: from here on rows go on from memory.
            backlog = nil
        case .damage(let next):
            logger.error("a record of the spool cannot be read", metadata: ["segment": "\(location.segment.hex16)"])
            telemetry.spool.damagedPlaces.add()
            backlog = next
        case .rows(let stored):
            backlog = stored.next
            guard !stored.rows.isEmpty else { return }
            core.remember(stored)
            if let ageMax = core.settings.ageMax, wallClock() - stored.received > Int64(ageMax.milliseconds) {
                await giveUp(stored)
                return
            }
            try await send(try await decode(stored, parts: nil, keepsFrames: compressesOnce))
        }
    }

    private func giveUp(_ stored: SpoolCore.StoredRows) async {
        let parts = stored.rows.enumerated().map {
            SpoolPart(lsn: stored.lsn, part: $0.offset, firstRow: 0, rows: $0.element)
        }
        _ = await write([.discard(parts, reason: "too_old")])
        telemetry.discardedRows.add(stored.rows.reduce(0, +), reason: "too_old")
    }

    /// Reading may fail for a while; rows are not given up for that.
    func read(from location: SpoolLocation) async throws -> SpoolCore.Reading {
        var delay = Self.retryDelayMin
        while true {
            do {
                return try core.read(from: location)
            } catch {
                failed(error)
                try await clock.sleep(for: delay)
                delay = min(delay * 2, Self.retryDelayMax)
            }
        }
    }

    nonisolated func decode(
        _ stored: SpoolCore.StoredRows, parts: [Int]?, keepsFrames: Bool
    ) async throws -> [RowBatch] {
        try stored.batches(parts: parts, now: clock.now, keepsFrames: keepsFrames, layouts: layouts)
    }

    private func send(_ batches: [RowBatch]) async throws {
        for batch in batches {
            do {
                try await self.batches.send(batch)
            } catch .cancelled {
                throw CancellationError()
            } catch .finished {
                throw StageError(.outputEnded, stage: name)
            }
        }
    }
}
