import Foundation
import Logging
import NIOConcurrencyHelpers
import ServiceLifecycle

/// What happened so far on the way down; shared by the runtime and its stages. The first cause counts.
final class ShutdownCourse: Sendable {
    enum Outcome: Sendable {
        case failed(stage: String, any Error)
        case stopped(ExitReason)

        /// Whether a stage only felt that another one is gone.
        var isConsequence: Bool {
            if case .failed(_, let error) = self { error is StageError } else { false }
        }
    }

    private struct State: Sendable {
        var isStopping = false
        var outcome: Outcome?
        var isCancelled = false
        var running: Task<Void, any Error>?
    }

    /// Has one element as soon as the stages are to stop.
    let stopping: AsyncStream<Void>
    private let stoppingContinuation: AsyncStream<Void>.Continuation
    private let stages: [any Stage]
    private let telemetry: Telemetry?
    private let state = NIOLockedValueBox(State())

    init(stages: [any Stage], telemetry: Telemetry?) {
        self.stages = stages
        self.telemetry = telemetry
        (stopping, stoppingContinuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var outcome: Outcome? { state.withLockedValue { $0.outcome } }

    /// - Returns: Whether this is the first request.
    func stopRequested() -> Bool {
        let first = state.withLockedValue { state in
            defer { state.isStopping = true }
            return !state.isStopping
        }
        stoppingContinuation.yield()
        return first
    }

    /// A stage threw: everything ends.
    func failed(stage: String, _ error: any Error) { cancel(because: .failed(stage: stage, error)) }

    /// A stage returned: as it should while stopping, a failure otherwise. The others then still drain.
    func ended(stage: String) {
        let early = state.withLockedValue { state in
            guard !state.isStopping else { return false }
            state.isStopping = true
            if state.outcome == nil {
                state.outcome = .failed(stage: stage, StageError(.endedEarly, stage: stage))
            }
            return true
        }
        if early { stoppingContinuation.yield() }
    }

    func cancel(because outcome: Outcome) {
        let running = state.withLockedValue { state in
            // What follows from a failure may be noticed before the failure itself.
            if state.outcome.map({ $0.isConsequence && !outcome.isConsequence }) ?? true {
                state.outcome = outcome
            }
            state.isCancelled = true
            return state.running
        }
        running?.cancel()
    }

    /// Runs in a task that `cancel(because:)` reaches, even if it came before.
    func runCancellable(_ body: @escaping @Sendable () async throws -> Void) async throws {
        let task = Task { try await body() }
        let isCancelled = state.withLockedValue { state in
            state.running = task
            return state.isCancelled
        }
        if isCancelled { task.cancel() }
        try await task.value
    }

    func left() -> LeftRows {
        var left = LeftRows()
        for stage in stages where stage.rowsHeld != 0 { left.stages[stage.name] = stage.rowsHeld }
        guard let snapshot = telemetry?.snapshot() else { return left }
        for stream in snapshot.streams where stream.state.elements > 0 {
            left.streams[stream.name] = stream.state.elements
        }
        left.rows = snapshot.conservation.inFlight
        return left
    }
}

/// A stage as a service. It reports its end only when its turn to stop has come: the service group takes a service that
/// ends earlier for a failure, and when streams run dry, stages may end in any order.
struct StageService: Service {
    let stage: any Stage
    let course: ShutdownCourse
    let logger: Logger

    func run() async throws {
        logger.debug("stage started", metadata: ["stage": "\(stage.name)"])
        do {
            try await stage.run()
        } catch {
            // Cancelled because something else ended the run: that has the cause already.
            if !(error is CancellationError && Task.isCancelled) { course.failed(stage: stage.name, error) }
            throw error
        }
        logger.debug("stage ended", metadata: ["stage": "\(stage.name)"])
        if !Task.isCancelled { course.ended(stage: stage.name) }
        try? await gracefulShutdown()
    }
}

/// Ends the process without running anything further.
public func endProcess(status: Int32) { _exit(status) }
