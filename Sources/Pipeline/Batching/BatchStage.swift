import ClickHouseNative

/// Collects row batches into blocks and seals them by each table's strategy.
///
/// The shell around `BatchPlanner`: it takes row batches, waits for exactly the next deadline, and passes on what is
/// sealed. When the output is full it waits there, so that its input fills and producers feel it; an age limit may then
/// be passed, because a sealed block would have nowhere to go.
public actor BatchStage: Stage {
    /// Row batches taken from the input at once: many small ones, or a single large one. What is in hand counts in no
    /// stream's bound, so it is little.
    static let batchesAtOnceMax = 64
    static let bytesAtOnceMax = 1 << 20

    public nonisolated let name = "batch"
    private let input: BoundedStream<RowBatch>
    private let output: BoundedStream<SealedBlock>
    private let clock: StageClock
    private let telemetry: Telemetry
    private let pressure: SinkPressure
    private let held = Gauge()
    private let seal: @Sendable ([SealedBlock]) async -> [SealedBlock]
    private var planner: BatchPlanner
    /// Calls of `passOn` that are under way; `run()` ends the output when there is none.
    private var passing = 0
    private var waitingForQuiet: CheckedContinuation<Void, Never>?
    /// Waits while nothing is open that grows too old.
    private var noDeadline: CheckedContinuation<Void, Never>?
    /// Ends at a deadline, or when there is an earlier one.
    private var sleeping: (deadline: StageClock.Instant, task: Task<Void, Never>)?

    /// - Parameter seal: freezes blocks; what it returns goes on.
    public init(
        settings: BatchSettings, input: BoundedStream<RowBatch>, output: BoundedStream<SealedBlock>,
        telemetry: Telemetry, pressure: SinkPressure = SinkPressure(), clock: StageClock = .continuous,
        seal: @escaping @Sendable ([SealedBlock]) async -> [SealedBlock] = { $0 }
    ) {
        self.seal = seal
        planner = BatchPlanner(settings: settings)
        self.input = input
        self.output = output
        self.telemetry = telemetry
        self.pressure = pressure
        self.clock = clock
    }

    /// Rows in open blocks, and in sealed ones that the output has not taken yet.
    public nonisolated var rowsHeld: Int { held.current }

    /// Ends when the input has ended and everything is passed on; the output is then finished.
    public func run() async throws {
        // However this ends, nothing more comes.
        defer { output.finish() }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.take() }
            group.addTask { try await self.watchDeadlines() }
            // The first to end is `take`, when all is passed on, or whoever failed.
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func take() async throws {
        while let batches = await input.nextBatch(maxElements: Self.batchesAtOnceMax, maxBytes: Self.bytesAtOnceMax) {
            held.add(batches.reduce(0) { $0 + $1.rows })
            for batch in batches {
                let now = clock.now
                let factor = pressure.factor(of: batch.table, now: now)
                let sealed = planner.rowBatchReceived(batch, now: now, pressure: factor)
                deadlineMayBeEarlier()
                try await passOn(sealed)
            }
        }
        try Task.checkCancellation()
        try await passOn(planner.drained())
        await quiet()
    }

    // MARK: Deadlines

    /// Sleeps until the next deadline, whatever comes meanwhile: one sleep does for many row batches. Ends when it is cancelled.
    private func watchDeadlines() async throws {
        while !Task.isCancelled {
            guard let deadline = planner.nextDeadline else {
                await withTaskCancellationHandler {
                    await withCheckedContinuation { noDeadline = $0 }
                } onCancel: {
                    Task { await self.wakeWatcher() }
                }
                continue
            }
            guard deadline <= clock.now else {
                let sleep = Task { [clock] in _ = try? await clock.sleep(until: deadline) }
                sleeping = (deadline, sleep)
                await withTaskCancellationHandler {
                    await sleep.value
                } onCancel: {
                    sleep.cancel()
                }
                sleeping = nil
                continue
            }
            try await passOn(planner.deadlineReached(now: clock.now))
        }
    }

    private func wakeWatcher() { noDeadline.take()?.resume() }

    private func deadlineMayBeEarlier() {
        guard let deadline = planner.nextDeadline else { return }
        wakeWatcher()
        if let sleeping, deadline < sleeping.deadline { sleeping.task.cancel() }
    }

    /// Takes over other settings; the bounds of the queue stay.
    public func reconfigure(_ settings: BatchSettings) {
        planner.reconfigured(settings)
        deadlineMayBeEarlier()
    }

    /// Seals now what is open of a table, or of all, and passes it on.
    ///
    /// - Returns: The rows of each block that was sealed.
    @discardableResult
    public func flush(table: TableName? = nil) async throws -> [Int] {
        let sealed = planner.flushRequested(table)
        let rows = sealed.map(\.rows)
        try await passOn(sealed)
        return rows
    }

    /// Sends sealed blocks on, one after the other.
    private func passOn(_ sealed: [SealedBlock]) async throws {
        telemetry.openRows.set(planner.openRows)
        telemetry.openBytes.set(planner.openBytes)
        guard !sealed.isEmpty else { return }
        passing += 1
        defer {
            passing -= 1
            if passing == 0 { waitingForQuiet.take()?.resume() }
        }
        for block in await seal(sealed) {
            // Read before the block is given away: whoever encodes it may reuse its parts at once.
            let rows = block.rows
            let firstReceived = block.parts.map(\.firstReceived).min() ?? clock.now
            do throws(SendError<SealedBlock>) {
                try await output.send(block)
            } catch .finished {
                throw StageError(.outputEnded, stage: name)
            } catch .cancelled {
                throw CancellationError()
            }
            held.subtract(rows)
            telemetry.sealLatency.observe(clock.now - firstReceived)
            telemetry.sealedBlocks.add(reason: block.reason.rawValue)
        }
    }

    /// A flush that was asked for from outside may still hold blocks.
    private func quiet() async {
        guard passing > 0 else { return }
        await withCheckedContinuation { waitingForQuiet = $0 }
    }
}
