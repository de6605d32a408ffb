import ClickHouseNative

/// Collects row batches into blocks and seals them by each table's strategy.
///
/// The shell around `BatchPlanner`: it takes row batches, waits for exactly the next deadline, and passes on what is
/// sealed. When the output is full it waits there, so that its input fills and producers feel it; an age limit may then
/// be passed, because a sealed block would have nowhere to go.
public actor BatchStage: Stage {
    /// Row batches taken from the input at once: many small ones, or a single large one. What is in hand counts in no
    /// stream's bound, so it is little.
    static let batchesAtOnceMax = 1024
    static let bytesAtOnceMax = 1 << 20
    /// Sealed blocks, and their bytes, that are being frozen or wait for it; no more is taken while there are as many. They count in no
    /// stream's bound, either.
    static let blocksInHandMax = 1024
    static let bytesInHandMax = 8 << 20

    public nonisolated let name = "batch"
    private let input: BoundedStream<RowBatch>
    private let output: BoundedStream<SealedBlock>
    private let clock: StageClock
    private let telemetry: Telemetry
    private let pressure: SinkPressure
    private let held = Gauge()
    private let seal: @Sendable ([SealedBlock]) async -> [SealedBlock]
    private var planner: BatchPlanner
    /// Sealed, and to be frozen next: while that is done for some, which takes a write to the disk, more may come, and those are frozen
    /// together.
    private var queue: [SealedBlock] = []
    /// Of the queue and of what is being frozen and sent.
    private var blocksInHand = 0
    private var bytesInHand = 0
    /// Blocks that were ever queued, and those of them that went on.
    private var queued = 0
    private var passed = 0
    /// Waits for blocks to freeze.
    private var idleSealer: CheckedContinuation<Void, Never>?
    /// Wait until something goes on.
    private var waiters: [CheckedContinuation<Void, Never>] = []
    /// Nothing goes on any more.
    private var hasEnded = false
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
        defer {
            output.finish()
            hasEnded = true
            wakeWaiters()
        }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.take() }
            group.addTask { try await self.sealQueued() }
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
                enqueue(planner.rowBatchReceived(batch, now: now, pressure: factor))
            }
            deadlineMayBeEarlier()
            try await waitForRoom()
        }
        try Task.checkCancellation()
        enqueue(planner.drained())
        report()
        // A flush that was asked for from outside may still hold blocks.
        try await wait { $0.passed == $0.queued }
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
            enqueue(planner.deadlineReached(now: clock.now))
            try await waitForRoom()
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
        enqueue(sealed)
        report()
        let last = queued
        try await wait { $0.passed >= last }
        return rows
    }

    // MARK: Sealed blocks

    /// They go on in this order, as soon as they are frozen.
    private func enqueue(_ sealed: [SealedBlock]) {
        guard !sealed.isEmpty else { return }
        queue += sealed
        queued += sealed.count
        blocksInHand += sealed.count
        bytesInHand += sealed.reduce(0) { $0 + $1.bytes }
        idleSealer.take()?.resume()
    }

    private func waitForRoom() async throws {
        report()
        try await wait { $0.blocksInHand < Self.blocksInHandMax && $0.bytesInHand < Self.bytesInHandMax }
    }

    private func report() {
        telemetry.openRows.set(planner.openRows)
        telemetry.openBytes.set(planner.openBytes)
    }

    /// Looks whenever something went on.
    ///
    /// - Throws: `CancellationError`; `StageError` when nothing goes on any more.
    private func wait(until isSo: (isolated BatchStage) -> Bool) async throws {
        while !isSo(self) {
            guard !hasEnded else { throw StageError(.outputEnded, stage: name) }
            try Task.checkCancellation()
            await withTaskCancellationHandler {
                await withCheckedContinuation { waiters.append($0) }
            } onCancel: {
                Task { await self.wakeWaiters() }
            }
        }
    }

    private func wakeWaiters() {
        let woken = waiters
        waiters = []
        for waiter in woken { waiter.resume() }
    }

    /// Freezes what is queued, all of it at once, and sends it on, one block after the other. Ends when it is cancelled.
    private func sealQueued() async throws {
        while !Task.isCancelled {
            guard !queue.isEmpty else {
                await withTaskCancellationHandler {
                    await withCheckedContinuation { idleSealer = $0 }
                } onCancel: {
                    Task { await self.wakeSealer() }
                }
                continue
            }
            let blocks = queue
            queue = []
            for block in await seal(blocks) { try await send(block) }
        }
    }

    private func wakeSealer() { idleSealer.take()?.resume() }

    private func send(_ block: SealedBlock) async throws {
        do throws(SendError<SealedBlock>) {
            try await output.send(block)
        } catch .finished {
            throw StageError(.outputEnded, stage: name)
        } catch .cancelled {
            throw CancellationError()
        }
        held.subtract(block.rows)
        telemetry.sealLatency.observe(clock.now - block.firstReceived)
        telemetry.sealedBlocks.add(reason: block.reason.rawValue)
        blocksInHand -= 1
        bytesInHand -= block.bytes
        passed += 1
        wakeWaiters()
    }
}
