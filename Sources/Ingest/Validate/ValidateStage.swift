import ClickHouseNative
import Logging
import NIOConcurrencyHelpers
import Pipeline

/// Reads chunks of lines into typed columns, table by table, and rejects the rows that cannot be stored.
///
/// Several workers take chunks from the same stream. Each fills blocks of its own, which go on as row batches when they
/// are full or when no input waits: under load batches are large, and a lone row waits for nobody.
public actor ValidateStage: Stage {
    /// Chunks that a worker takes at once.
    static let chunksAtOnceMax = 64
    /// Bytes that a worker takes at once.
    static let bytesAtOnceMax = 4 << 20
    /// Mixed rows without numbers go on when they have so many bytes: there is memory for that which was used just before.
    static let intakeBytes = 384 << 10
    /// So many bytes of such rows, as they are for the disk, are sent at once: then they are made to last together.
    static let sentAtOnceBytes = 2 << 20
    /// For so long the rows of a table that could not be found are rejected without asking again.
    static let refusalTime: Duration = .seconds(2)

    public nonisolated let name = "validate"
    private let current: NIOLockedValueBox<Current>
    /// Held while it is closed: chunks wait, and so do producers.
    private let gate: PauseGate
    private let input: BoundedStream<Chunk>
    private let output: BoundedStream<Intake>
    /// nil: there is no spool.
    private let spool: SpoolSettings.Compression?
    private let backlog: SpoolBacklog?
    private let catalog: any TableCatalog
    private let changes: StructureChanges
    private let watch: StructureWatch
    private let refusals = RefusalLog()
    private let telemetry: Telemetry
    private let clock: StageClock
    private let logger: Logger
    private let pool: BlockPool
    private let buffers: BufferPool
    private let deadLetter: @Sendable ([Rejection]) async -> Void
    private let deadLetterSynced: @Sendable () async throws -> Void
    private let wallClock: @Sendable () -> Int64
    /// Of chance, for a table's rules.
    private let seed: @Sendable () -> UInt64
    private let held = Gauge()
    private let rates: RateLimits?

    /// - Parameters:
    ///   - changes: says when the catalog has learned something.
    ///   - compressesOnce: `Settings.compressesOnce`
    ///   - backlog: the spool's; nil: nobody knows.
    ///   - wallClock: milliseconds since 1970.
    ///   - deadLetter: keeps rejected rows; validation waits for it.
    ///   - rates: is told which tables rows are for.
    ///   - seed: of chance, where a table's rules leave something to it.
    ///   - deadLetterSynced: returns when what it was given is on the disk; throws when that will not happen any more:
    ///     what was read is then not passed on, and nobody hears that it was taken.
    public init(
        settings: ValidateSettings, input: BoundedStream<Chunk>, output: BoundedStream<Intake>,
        spool: SpoolSettings.Compression? = nil, compressesOnce: Bool = false, backlog: SpoolBacklog? = nil,
        catalog: any TableCatalog,
        changes: StructureChanges = StructureChanges(), pool: BlockPool,
        buffers: BufferPool = .none, telemetry: Telemetry,
        logger: Logger, clock: StageClock = .continuous, wallClock: @escaping @Sendable () -> Int64,
        deadLetter: @escaping @Sendable ([Rejection]) async -> Void,
        deadLetterSynced: @escaping @Sendable () async throws -> Void = {}, gate: PauseGate = PauseGate(),
        rates: RateLimits? = nil, seed: @escaping @Sendable () -> UInt64 = { .random(in: .min ... .max) }
    ) {
        self.rates = rates
        self.seed = seed
        current = NIOLockedValueBox(Current(settings: settings, compressesOnce: compressesOnce))
        self.gate = gate
        self.input = input
        self.output = output
        self.spool = spool
        self.backlog = backlog
        self.wallClock = wallClock
        self.deadLetterSynced = deadLetterSynced
        self.catalog = catalog
        self.changes = changes
        watch = StructureWatch(catalog: catalog, clock: clock)
        self.pool = pool
        self.buffers = buffers
        self.telemetry = telemetry
        self.logger = logger
        self.clock = clock
        self.deadLetter = deadLetter
    }

    private struct Current: Sendable {
        var settings: ValidateSettings
        /// `Settings.compressesOnce`
        var compressesOnce: Bool
        /// Counts reloads.
        var generation = 0
    }

    private nonisolated var settings: ValidateSettings { current.withLockedValue { $0.settings } }

    /// Takes over how rows are read, from the next chunks on; the number of workers and the bounds of queues stay.
    public nonisolated func reconfigure(_ settings: ValidateSettings, compressesOnce: Bool = false) {
        current.withLockedValue {
            $0 = Current(settings: settings, compressesOnce: compressesOnce, generation: $0.generation + 1)
        }
    }

    /// Asks now what the tables in use look like; the next chunks are read by the answers.
    public nonisolated func refreshStructures() { watch.askNow() }

    public nonisolated var rowsHeld: Int { held.current }

    public func run() async throws {
        defer { output.finish() }
        // Cancelled when the workers are done, if the catalog has not answered by then.
        async let _ = announceDefaultTable()
        async let _ = watch.run { [self] in settings.structureRefresh }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<settings.workersOrDefault { group.addTask { try await self.work() } }
            try await group.waitForAll()
        }
    }

    /// Says at start what would otherwise show with the first row only: that the default table cannot be written to.
    private nonisolated func announceDefaultTable() async {
        guard let table = settings.defaultTable.flatMap({ TableName(parsing: $0) }), !settings.isOnlyRouted(table)
        else { return }
        do {
            let structure = try await catalog.structure(of: table)
            logger.info(
                "default table", metadata: ["table": "\(table)", "columns": "\(structure.columns.count)"])
        } catch let error as CatalogError {
            logger.error(
                "the default table cannot be written to, its rows will be rejected",
                metadata: ["table": "\(table)", "reason": "\(error.code.rawValue)", "detail": "\(error.message)"])
        } catch {
            // The daemon stops before the server has answered.
        }
    }

    /// What a worker has.
    private struct Work {
        var reader: ChunkReader
        /// Of the chunks that were read and not passed on.
        var numbered: [Intake.Numbered] = []
        var tables: [TableName: TableTelemetry] = [:]
        var asks = UnknownFieldAsks()
        var linger: Linger
    }

    private nonisolated func work() async throws {
        var (settings, generation) = current.withLockedValue { ($0.settings, $0.generation) }
        var work = Work(reader: makeReader(settings), linger: Linger(at: clock.now))
        var refusedUntil: StageClock.Instant?
        var seenChanges = changes.count
        while let chunks = await input.nextBatch(
            maxElements: Self.chunksAtOnceMax, maxBytes: Self.bytesAtOnceMax)
        {
            await gate.pass()
            let limitsTables = rates?.limitsTables ?? false
            let now = current.withLockedValue { $0.generation }
            if now != generation {
                try await passOn(&work)
                (settings, generation) = current.withLockedValue { ($0.settings, $0.generation) }
                work.reader = makeReader(settings)
            }
            // Who is limited by rows has to be told at once for which tables they are.
            work.reader.gathersLines = !limitsTables
            let count = changes.count
            if count != seenChanges {
                seenChanges = count
                try await followChanges(&work)
            }
            work.asks.allow(work.reader, at: clock.now)
            if let until = refusedUntil, clock.now >= until {
                work.reader.forgetRefusals()
                refusedUntil = nil
            }
            for chunk in chunks {
                let before = limitsTables ? work.reader.rowsByTable : [:]
                work.linger.read(bytes: chunk.byteCount)
                var offset = 0
                reading: while true {
                    switch work.reader.read(chunk, from: offset) {
                    case .done: break reading
                    case .needsTable(let table, let at):
                        offset = at
                        try await learn(table, work.reader)
                    case .needsStructure(let writer, let at):
                        offset = at
                        try await ask(writer, &work.asks)
                    }
                }
                let rejections = work.reader.takeRejections()
                await settle(rejections, &work.tables)
                if limitsTables { charge(chunk, before, work.reader.rowsByTable) }
                if let numbering = chunk.numbering { work.numbered.note(numbering, rejections) }
                if work.reader.hasEnoughGathered {
                    while let writer = work.reader.readGathered() { try await ask(writer, &work.asks) }
                    await settleLate(&work)
                }
                if work.reader.isFull { try await passOn(&work) }
            }
            if work.reader.hasRefusals, refusedUntil == nil { refusedUntil = clock.now + Self.refusalTime }
            let patience: Linger.Patience =
                work.numbered.isEmpty && work.reader.hasFewGathered ? .long : .short
            if input.isEmpty, let wait = work.linger.wait(patience, at: clock.now) { try await clock.sleep(for: wait) }
            if input.isEmpty { try await passOn(&work) }
        }
        try await passOn(&work)
        try Task.checkCancellation()
    }

    private nonisolated func makeReader(_ settings: ValidateSettings) -> ChunkReader {
        ChunkReader(settings: settings, pool: pool) { [wallClock] in wallClock() / 1000 }
    }

    /// Tells the limits which tables a chunk's rows were for. Its bytes are shared out by rows.
    private nonisolated func charge(_ chunk: Chunk, _ before: [TableName: Int], _ after: [TableName: Int]) {
        let taken = after.map { ($0, $1 - before[$0, default: 0]) }.filter { $0.1 > 0 }
        let all = taken.reduce(0) { $0 + $1.1 }
        for (table, rows) in taken {
            rates?.reached(
                table, rows: rows, bytes: chunk.byteCount * rows / all, session: chunk.session)
        }
    }

    /// Asks the catalog for a table that a row was for. Waits while the catalog's source is away.
    private nonisolated func learn(_ table: TableName, _ reader: ChunkReader) async throws {
        do {
            let structure = try await catalog.structure(of: table)
            let writer: TableWriter
            do {
                writer = try self.writer(table, structure, reader.plans)
            } catch let error as RuleProblems {
                // What is remembered may be out of date: the column that the rules name may be there by now.
                guard let now = try await watch.ask(table), let anew = try? self.writer(table, now, reader.plans)
                else {
                    return reader.refuse(table, because: invalid(error, table))
                }
                writer = anew
            }
            reader.add(writer)
            watch.isInUse(table)
        } catch let error as CatalogError {
            refuse(table, error, reader)
        } catch let error as CancellationError {
            throw error
        } catch {
            logger.error(
                "the structure of a table cannot be used", metadata: ["table": "\(table)", "error": "\(error)"])
            reader.refuse(table, because: CatalogError(.unsupportedType, table: table, message: "\(error)"))
        }
    }

    private nonisolated func writer(
        _ table: TableName, _ structure: TableStructure, _ plans: KnownPlans
    ) throws -> TableWriter {
        try TableWriter(
            table: table, structure: structure,
            options: RowOptions(settings.input(of: table), depthMax: settings.depthMax),
            rules: settings.rules(of: table), seed: seed(), plans: plans, pool: pool)
    }

    /// Rows that would land unchecked, or with what is to be redacted, do not land.
    private nonisolated func invalid(_ problems: RuleProblems, _ table: TableName) -> CatalogError {
        logger.error(
            "the rules of a table do not fit its columns, its rows are rejected",
            metadata: ["table": "\(table)", "problems": "\(problems)"])
        return CatalogError(.invalidRules, table: table, message: "the table's rules do not fit its columns")
    }

    private nonisolated func refuse(_ table: TableName, _ error: CatalogError, _ reader: ChunkReader) {
        if refusals.isWorthALine(table, error.code, at: clock.now) {
            logger.warning(
                "rows for a table that cannot be written to are rejected",
                metadata: ["table": "\(table)", "reason": "\(error.code.rawValue)", "detail": "\(error.message)"])
        }
        reader.refuse(table, because: error)
    }

    // MARK: - Structures that change

    /// The catalog has learned something: tables that are other ones now are read as such from the next chunk on.
    private nonisolated func followChanges(_ work: inout Work) async throws {
        for writer in work.reader.tables {
            do {
                try await follow(try await catalog.structure(of: writer.table), writer)
            } catch let error as CatalogError {
                // What was read of the table goes the way of all its rows: the sink says what becomes of them.
                try await passOn(&work)
                work.reader.remove(writer.table)
                watch.isGone(writer.table)
                refuse(writer.table, error, work.reader)
            }
        }
    }

    private nonisolated func follow(_ structure: TableStructure, _ writer: TableWriter) async throws {
        guard structure != writer.structure else { return }
        do {
            try writer.follow(structure, pool: pool)
            logger.notice(
                "a table has changed; its rows are read by the new structure",
                metadata: ["table": "\(writer.table)", "columns": "\(structure.columns.count)"])
        } catch let error as RuleProblems {
            throw invalid(error, writer.table)
        } catch {
            throw CatalogError(.unsupportedType, table: writer.table, message: "\(error)")
        }
    }

    /// A row has a field that its table lacks: perhaps the table has it by now. A server that does not answer is not waited for.
    private nonisolated func ask(_ writer: TableWriter, _ asks: inout UnknownFieldAsks) async throws {
        writer.asksForUnknownFields = false
        var least = settings.structureRefreshMin
        if let now = try await watch.ask(writer.table) {
            writer.hasAsked()
            // A structure that cannot be used is found out as a change; until then rows are read as before.
            try? await follow(now, writer)
        } else {
            least = max(least, StructureWatch.waitAfterSilence)
        }
        asks.asked(writer.table, at: clock.now, least: least)
    }

    /// What becomes of row batches while they are passed on.
    private struct Passing {
        var builder: IntakeBuilder
        var bytes = 0
        var firstReceived: StageClock.Instant?
        /// To be sent.
        var ready: [Intake] = []
    }

    /// - Parameters:
    ///   - isMixed: rows of many tables, mixed, are among those to pass on.
    ///   - bytesMax: no more row batches are put in from so many bytes on.
    private nonisolated func builder(_ work: Work, isMixed: Bool, bytesMax: Int) -> IntakeBuilder {
        let compressesOnce = current.withLockedValue { $0.compressesOnce }
        // Few rows of one table, for which an ack is waited for, are compressed: twice as many bytes would not fit into
        // spool.memory_max until their block is full, and all after them would go on from the disk.
        return IntakeBuilder(
            numbered: work.numbered, spool: spool, isFinal: compressesOnce, backlog: isMixed ? backlog : nil,
            buffers: buffers, expecting: min(work.reader.bytesExpected, bytesMax))
    }

    /// Passes on all that was read since the last time. Rows with numbers are whole chunks, so that they become durable as a whole; mixed ones
    /// without go on a few tables at a time.
    private nonisolated func passOn(_ work: inout Work) async throws {
        defer { work.linger.passedOn(at: clock.now) }
        let isMixed = work.reader.isMixed
        let bytesMax = isMixed && work.numbered.isEmpty ? Self.intakeBytes : .max
        var passing = Passing(builder: builder(work, isMixed: isMixed, bytesMax: bytesMax))
        while let step = work.reader.takeNext() {
            await settleLate(&work)
            switch step {
            case .needsStructure(let writer):
                // What is ready does not wait for the answer.
                try await send(&passing)
                try await ask(writer, &work.asks)
            case .batches(let batches):
                for batch in batches {
                    passing.bytes += batch.bytes
                    passing.firstReceived = min(passing.firstReceived ?? batch.firstReceived, batch.firstReceived)
                    telemetry.receivedRows.add(batch.rows)
                    telemetry.accepted(rows: batch.rows, into: counters(batch.table, &work.tables))
                    telemetry.acceptLatency.observe(clock.now - batch.firstReceived)
                    try passing.builder.append(batch) { pool.give($0) }
                }
                if passing.bytes >= bytesMax {
                    finish(&passing, numbered: [])
                    passing.builder = builder(work, isMixed: isMixed, bytesMax: bytesMax)
                    let bytes = passing.ready.reduce(0) { $0 + $1.bytes }
                    if spool == nil || bytes >= Self.sentAtOnceBytes { try await send(&passing) }
                }
            }
        }
        await settleLate(&work)
        for (table, rows) in work.reader.takeSampled() {
            telemetry.receivedRows.add(rows)
            telemetry.accepted(rows: rows, into: counters(table, &work.tables))
            telemetry.discardedRows.add(rows, reason: "sampled")
        }
        if !passing.builder.isEmpty || !work.numbered.isEmpty {
            if work.numbered.contains(where: { !$0.refusals.isEmpty }) { try await deadLetterSynced() }
            let numbered = work.numbered
            work.numbered = []
            finish(&passing, numbered: numbered)
        }
        try await send(&passing)
    }

    /// What was put in is to be sent. Nobody else has the builder: the record would be copied.
    private nonisolated func finish(_ passing: inout Passing, numbered: [Intake.Numbered]) {
        let waited = passing.firstReceived.map { max(.zero, clock.now - $0) } ?? .zero
        let intake = passing.builder.finish(numbered: numbered, received: wallClock() - Int64(waited.milliseconds)) {
            pool.give($0)
        }
        passing.ready.append(intake)
        passing.bytes = 0
        passing.firstReceived = nil
    }

    private nonisolated func send(_ passing: inout Passing) async throws {
        let ready = passing.ready
        passing.ready = []
        let rows = ready.reduce(0) { $0 + $1.rows }
        held.add(rows)
        defer { held.add(-rows) }
        do {
            for intake in ready { try await output.send(intake) }
        } catch .cancelled {
            throw CancellationError()
        } catch .finished {
            throw StageError(.outputEnded, stage: name)
        }
    }

    /// Rows that waited are read only when they are passed on, and may be refused then.
    private nonisolated func settleLate(_ work: inout Work) async {
        let rejections = work.reader.takeRejections()
        await settle(rejections, &work.tables)
        work.numbered.refuse(rejections)
    }

    private nonisolated func settle(
        _ rejections: [Rejection], _ tables: inout [TableName: TableTelemetry]
    ) async {
        guard !rejections.isEmpty else { return }
        telemetry.receivedRows.add(rejections.count)
        for rejection in rejections {
            // Names that only producers know do not become names of metrics.
            let table = rejection.reason.isAboutTable ? nil : rejection.table
            counters(table ?? TableName(table: Telemetry.other), &tables)
                .rejectedRows.add(reason: rejection.reason.rawValue)
        }
        await deadLetter(rejections)
    }

    private nonisolated func counters(
        _ table: TableName, _ tables: inout [TableName: TableTelemetry]
    ) -> TableTelemetry {
        if let known = tables[table] { return known }
        let counters = telemetry.table(table)
        if tables.count < settings.tablesMax { tables[table] = counters }
        return counters
    }
}

extension RejectReason {
    /// The table is not known to exist.
    var isAboutTable: Bool {
        switch self {
        case .noTable, .invalidTable, .unknownTable, .tooManyTables: true
        default: false
        }
    }
}
