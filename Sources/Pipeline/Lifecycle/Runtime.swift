import Logging
import ServiceLifecycle
import Synchronization
import UnixSignals

/// Runs the stages, and stops them in the order that loses nothing.
///
/// Stages are given in start order, from the sink to the producers: ship, compress, batch, validate, receive, admin. They
/// stop in reverse, each only after the one before it is done:
///
/// 1. SIGTERM or SIGINT: admin ends, then receive stops accepting and finishes its stream.
/// 2. Each further stage drains its input, passes everything on, finishes its output and ends.
/// 3. After `shutdownTimeout` whatever still runs is cancelled; the log tells which rows were left where.
/// 4. A second signal ends the process at once.
public final class Runtime: Sendable {
    /// After the time limit, cancelled stages have so long to end; then the process does.
    static let cancellationTimeMax: Duration = .seconds(2)
    /// A signal that follows the first one sooner is the same request: `timeout` and some supervisors signal a process, and
    /// then the group that it is in.
    static let signalRepeatTimeMax: Duration = .milliseconds(500)

    private let group: ServiceGroup
    private let course: ShutdownCourse
    private let logger: Logger
    private let shutdownTimeout: Duration
    private let clock: StageClock
    private let exitNow: @Sendable (ExitReason) -> Void
    private let onStopping: @Sendable () -> Void
    private let whileRunning: @Sendable () async -> Void

    /// - Parameters:
    ///   - stages: In start order.
    ///   - onStopping: Called once, before the first stage is told to stop, for whatever reason.
    ///   - whileRunning: Runs beside the stages, and is cancelled when all have stopped.
    ///   - exitNow: Ends the process without further ado. Tests pass something milder.
    public init(
        stages: [any Stage], shutdownTimeout: Duration, logger: Logger, telemetry: Telemetry? = nil,
        clock: StageClock = .continuous, onStopping: @escaping @Sendable () -> Void = {},
        whileRunning: @escaping @Sendable () async -> Void = {},
        exitNow: @escaping @Sendable (ExitReason) -> Void = { endProcess(status: $0.exitStatus) }
    ) {
        self.onStopping = onStopping
        self.whileRunning = whileRunning
        let course = ShutdownCourse(stages: stages, telemetry: telemetry)
        self.course = course
        self.logger = logger
        self.shutdownTimeout = shutdownTimeout
        self.clock = clock
        self.exitNow = exitNow
        group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: stages.map { stage in
                    ServiceGroupConfiguration.ServiceConfiguration(
                        service: StageService(stage: stage, course: course, logger: logger), serviceName: stage.name)
                },
                logger: logger))
    }

    /// Runs until everything has stopped.
    ///
    /// - Parameter signals: SIGTERM and SIGINT stop the stages. Tests call `stop()` instead.
    /// - Returns: How it ended, if it was asked to.
    /// - Throws: `RuntimeError` when a stage failed, or ended by itself.
    public func run(signals: Bool = true) async throws -> ExitReason {
        let listening = Task {
            guard signals else { return }
            var first: StageClock.Instant?
            for await signal in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                if let first, clock.now - first < Self.signalRepeatTimeMax { continue }
                first = first ?? clock.now
                logger.notice("signal received", metadata: ["signal": "\(signal)"])
                stop()
            }
        }
        // A stage may end by itself, or the limit pass: both stop the rest.
        let watching = Task { await watch() }
        let beside = Task { await whileRunning() }
        defer {
            listening.cancel()
            beside.cancel()
            watching.cancel()
        }
        var thrown: (any Error)?
        do {
            try await withTaskCancellationHandler {
                // The group's tasks are in a task of their own, so that the time limit can cancel them.
                try await course.runCancellable { [group] in try await group.run() }
            } onCancel: {
                course.cancel(because: .stopped(.cancelled))
            }
        } catch {
            thrown = error
        }
        return try conclude(thrown)
    }

    /// What a signal does: the first call begins to stop the stages, the second ends the process.
    public func stop() {
        guard course.stopRequested() else {
            let left = course.left()
            logger.critical("stopping at once, on a second request", metadata: left.metadata)
            course.cancel(because: .stopped(.forced(left)))
            exitNow(.forced(left))
            return
        }
        logger.notice(
            "stopping: accepted rows are drained", metadata: ["limit_seconds": "\(shutdownTimeout.seconds)"])
    }

    /// Waits until the stages are to stop, by request or because one ended by itself; stops them, and enforces the time limit.
    private func watch() async {
        for await _ in course.stopping { break }
        if Task.isCancelled { return }
        onStopping()
        await group.triggerGracefulShutdown()
        do {
            try await clock.sleep(for: shutdownTimeout)
            let left = course.left()
            logger.critical("not drained within the time limit", metadata: left.metadata)
            course.cancel(because: .stopped(.timedOut(left)))
            try await clock.sleep(for: Self.cancellationTimeMax)
            logger.critical("stages do not end though they were cancelled", metadata: course.left().metadata)
            exitNow(.timedOut(left))
        } catch {
            // Everything stopped in time, which ended this task.
        }
    }

    private func conclude(_ thrown: (any Error)?) throws -> ExitReason {
        switch course.outcome {
        case .failed(let stage, let error):
            let left = course.left()
            logger.critical(
                "a stage failed", metadata: left.metadata.merging(["stage": "\(stage)", "error": "\(error)"]) { $1 })
            throw RuntimeError(stage: stage, cause: error, left: left)
        case .stopped(let reason): return reason
        case nil:
            if let thrown { throw thrown }
            logger.notice("stopped, everything drained")
            return .drained
        }
    }
}

/// How a run ended that was asked to end.
public enum ExitReason: Hashable, Sendable {
    /// Every accepted row reached its destination.
    case drained
    /// The time limit passed first.
    case timedOut(LeftRows)
    /// A second signal.
    case forced(LeftRows)
    /// The task that ran it was cancelled.
    case cancelled

    /// For the process: 0 only when nothing was left; 75 (EX_TEMPFAIL) when time was short; 130 when forced.
    public var exitStatus: Int32 {
        switch self {
        case .drained: 0
        case .timedOut: 75
        case .forced: 130
        case .cancelled: 1
        }
    }
}

/// A stage took the daemon down.
public struct RuntimeError: Error, Sendable, CustomStringConvertible {
    public let stage: String
    public let cause: any Error
    public let left: LeftRows

    public var description: String { "stage \(stage) failed: \(cause)" }
}

/// What had not reached its destination when the daemon stopped.
public struct LeftRows: Hashable, Sendable, CustomStringConvertible {
    /// Rows that each stage held, where it held any.
    public internal(set) var stages: [String: Int] = [:]
    /// Elements (not rows) in the stream in front of each stage, where there were any.
    public internal(set) var streams: [String: Int] = [:]
    /// Accepted rows that were not settled, if that is counted: the sum of it all.
    public internal(set) var rows: Int64?

    public var description: String {
        let held = stages.sorted { $0.key < $1.key }.map { "\($0.key) held \($0.value) rows" }
        let waiting = streams.sorted { $0.key < $1.key }.map { "\($0.value) elements waited for \($0.key)" }
        let sum = rows.map { ["\($0) accepted rows were not settled"] } ?? []
        let all = sum + held + waiting
        return all.isEmpty ? "nothing was left" : all.joined(separator: ", ")
    }

    var metadata: Logger.Metadata { ["left": "\(self)"] }
}
