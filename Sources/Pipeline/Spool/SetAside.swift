import NIOConcurrencyHelpers

/// Where a sink puts blocks of a table that takes none for now: they are in the spool, so nothing of them is kept in memory, and
/// the spool sends them again when their time has come.
public final class SetAside: Sendable {
    private struct State {
        var blocks = SetAsideBlocks()
        /// Grows with whatever `next` may want to know.
        var changes: UInt64 = 0
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = NIOLockedValueBox(State())
    private let telemetry: SpoolTelemetry
    private let clock: StageClock

    public init(telemetry: SpoolTelemetry, clock: StageClock = .continuous) {
        self.telemetry = telemetry
        self.clock = clock
    }

    /// Whether a block had better be set aside without an attempt: its table has just refused another one, which is tried first.
    public func isRefusing(_ table: TableName, block: UInt64) -> Bool {
        state.withLockedValue { $0.blocks.isRefusing(table, block) }
    }

    /// Whether a block had been set aside and is on its way again: one refusal is enough for it to wait once more.
    public func isReturned(_ block: UInt64) -> Bool { state.withLockedValue { $0.blocks.isOut(block) } }

    /// Takes a block that is sealed and not settled: it is sent again later, as it is.
    ///
    /// - Parameters:
    ///   - wasTried: the table has just refused it.
    ///   - mayHaveBeenSent: an attempt has an unknown outcome.
    /// - Returns: false when `SetAsideBlocks.blocksMax` wait already: whoever has the block keeps it.
    public func put(
        _ block: UInt64, rows: Int, of table: TableName, wasTried: Bool, mayHaveBeenSent: Bool
    ) -> Bool {
        let isTaken = change { blocks in
            blocks.put(
                .init(id: block, rows: rows, mayHaveBeenSent: mayHaveBeenSent), of: table, wasTried: wasTried,
                now: clock.now)
        }
        if isTaken { telemetry.setAsides.add() }
        return isTaken
    }

    /// A block is settled, or was split.
    public func ended(_ block: UInt64) {
        guard isReturned(block) else { return }
        change { $0.ended(block) }
    }

    /// The next block whose time has come.
    ///
    /// - Throws: `CancellationError`.
    func next() async throws -> (table: TableName, block: SetAsideBlocks.Block) {
        while true {
            let (found, deadline, changes) = state.withLockedValue { state in
                let (found, deadline) = state.blocks.next(now: clock.now)
                return (found, deadline, state.changes)
            }
            if let found { return found }
            let timer = deadline.map { deadline in
                Task {
                    try? await clock.sleep(until: deadline)
                    self.wake()
                }
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isLate = state.withLockedValue { state in
                        guard state.changes == changes else { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isLate { continuation.resume() }
                }
            } onCancel: {
                wake()
            }
            timer?.cancel()
            try Task.checkCancellation()
        }
    }

    private func wake() { change { _ in } }

    @discardableResult
    private func change<Result: Sendable>(_ body: (inout SetAsideBlocks) -> Result) -> Result {
        let (result, waiter) = state.withLockedValue { state in
            let result = body(&state.blocks)
            state.changes += 1
            telemetry.setAsideBlocks.set(state.blocks.count)
            telemetry.setAsideRows.set(state.blocks.rows)
            telemetry.refusingTables.set(state.blocks.refusingTables)
            return (result, state.waiter.take())
        }
        waiter?.resume()
        return result
    }
}
