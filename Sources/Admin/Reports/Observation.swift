import Foundation
import Pipeline

/// All that can be seen at one moment.
struct Observation: Sendable {
    let snapshot: TelemetrySnapshot
    let process: ProcessFigures
    let time: Date

    init(of telemetry: Telemetry, at time: Date) {
        snapshot = telemetry.snapshot()
        process = .current()
        self.time = time
    }

    /// All metrics, those of the process included.
    var families: [MetricFamily] {
        snapshot.families + process.families(startTimeUnix: snapshot.startTimeUnix)
    }
}

/// What happened between two observations.
struct Interval: Sendable {
    let from: Observation
    let to: Observation

    private var seconds: Double { (to.snapshot.uptime - from.snapshot.uptime).seconds }

    func perSecond(_ figure: (TelemetrySnapshot) -> UInt64) -> Double {
        seconds > 0 ? Double(figure(to.snapshot) &- figure(from.snapshot)) / seconds : 0
    }

    /// Cores that were busy for the daemon.
    var cores: Double { seconds > 0 ? (to.process.cpu - from.process.cpu).seconds / seconds : 0 }

    /// Senders that waited for room in the queue of a stage, on average.
    func blocked(_ stage: String) -> Double {
        func time(_ observation: Observation) -> Double {
            observation.snapshot.streams.first { $0.name == stage }?.state.sendersSuspended.seconds ?? 0
        }
        return seconds > 0 ? max(0, (time(to) - time(from)) / seconds) : 0
    }
}

/// Where the flow is held up: the last stage whose queue has senders waiting for room. Everything before it waits for it,
/// and everything behind it has less to do than it could.
struct Backpressure: Sendable, Hashable {
    /// Less is the ordinary back and forth of a stream that is full for a moment.
    static let blockedMin = 0.05

    let stage: String
    /// Stages that wait, in the order of the flow.
    let waiting: [String]

    /// - Parameter interval: without one, whoever waits at this moment counts.
    init?(_ snapshot: TelemetrySnapshot, _ interval: Interval?) {
        let order = ["receive"] + snapshot.streams.map(\.name)
        let held = snapshot.streams.indices.filter { index in
            let stream = snapshot.streams[index]
            return interval.map { $0.blocked(stream.name) >= Self.blockedMin } ?? (stream.state.sendersWaiting > 0)
        }
        guard let last = held.last else { return nil }
        stage = snapshot.streams[last].name
        waiting = held.map { order[$0] }
    }

    /// What an operator should look at.
    var message: String {
        let cause =
            switch stage {
            case "ship": "the sink takes blocks more slowly than they come"
            case "compress": "compression is the slowest part: more workers, or a cheaper method"
            case "spool": "the disk takes rows more slowly than they come, or the spool is full"
            case "direct": "the stages behind it are full"
            case "batch": "open blocks fill batch.memory_max, or the stages behind it are full"
            default: "parsing is the slowest part: more validate.workers, or more cores"
            }
        return "\(stage) is what the rest waits for: \(cause)"
    }
}
