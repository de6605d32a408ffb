/// A part of the daemon that runs from start to end: an actor, as a rule.
///
/// Only the first stage (receive) and what stands beside the pipeline (admin) end on a graceful shutdown. Each other stage
/// ends because its input ends, after it passed everything on and finished its output; it must not listen to graceful
/// shutdown. A stage that is cancelled ends at once.
public protocol Stage: Sendable {
    /// For logs and metrics: `batch`.
    nonisolated var name: String { get }
    /// Rows that are in this stage and in none of the streams.
    nonisolated var rowsHeld: Int { get }

    func run() async throws
}

extension Stage {
    public nonisolated var rowsHeld: Int { 0 }
}

/// Why a stage cannot go on.
public struct StageError: Error, Hashable, Sendable, CustomStringConvertible {
    public enum Code: String, Sendable, CaseIterable {
        /// The next stage takes no more.
        case outputEnded = "output_ended"
        /// A block was named that is settled, or never was.
        case unknownBlock = "unknown_block"
        /// The stage ended though nobody asked it to.
        case endedEarly = "ended_early"
    }

    public let code: Code
    public let stage: String

    public init(_ code: Code, stage: String) {
        self.code = code
        self.stage = stage
    }

    public var description: String {
        switch code {
        case .outputEnded: "stage \(stage): the stage after it takes no more"
        case .unknownBlock: "stage \(stage): a block was named that it does not know"
        case .endedEarly: "stage \(stage) ended though nobody asked it to"
        }
    }
}
