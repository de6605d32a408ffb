import Ingest
import NIOConcurrencyHelpers
import Pipeline

/// Brings peers that were turned away to the audit log. Nobody waits for that; what comes faster than the disk takes it is
/// only counted (`sluice_sessions_refused_total`).
final class RefusalAudit: Sendable {
    /// Refusals that wait for the log.
    static let waitingMax = 64

    private struct State: Sendable {
        var waiting: [PeerRefusal] = []
        var isWriting = false
    }

    private let log: AuditLog
    private let state = NIOLockedValueBox(State())

    init(_ log: AuditLog) { self.log = log }

    func record(_ refusal: PeerRefusal) {
        let begins = state.withLockedValue { state in
            guard state.waiting.count < Self.waitingMax else { return false }
            state.waiting.append(refusal)
            defer { state.isWriting = true }
            return !state.isWriting
        }
        if begins { Task { await write() } }
    }

    private func write() async {
        while let refusal = next() {
            await log.record(
                AuditLog.Entry(actor: refusal.peer, action: "connect", outcome: .refused, detail: refusal.reason))
        }
    }

    private func next() -> PeerRefusal? {
        state.withLockedValue { state in
            guard !state.waiting.isEmpty else {
                state.isWriting = false
                return nil
            }
            return state.waiting.removeFirst()
        }
    }
}
