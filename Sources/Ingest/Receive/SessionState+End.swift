import NIOCore
import Pipeline
import ProducerProtocol

// How a session ends, and what its producer is told then.
extension SessionState {
    /// What is left to do when no more comes; nil: to wait.
    mutating func nextEnding(_ reason: CloseReason) -> Action? {
        guard refused == nil, pieces.isEmpty, claiming == nil else { return nil }
        switch numbering {
        // Who asks for acks and sends nothing is told at least where it stands.
        case .wanted, .waiting: guard isGone || reason != .ended else { return nil }
        case .none, .open: break
        }
        if case .open = numbering, !isGone, !isSettled(reason) {
            guard !hasSaidHandedOver else { return nil }
            hasSaidHandedOver = true
            return .handedOver
        }
        if !isAnswered, !isGone {
            isAnswered = true
            if let bytes = lastAnswer(reason) { return .write(bytes) }
        }
        isDone = true
        return .close(reason)
    }

    /// Whether nothing is waited for any more.
    func isSettled(_ reason: CloseReason) -> Bool {
        guard let replies else { return true }
        switch reason {
        case .failed(let error) where !error.code.waitsForAcks: return true
        case .outputFinished: return true
        case .ended, .failed: return replies.progress >= owed
        case .stopped:
            // What the daemon keeps over a stop; the rest is a matter of the next run.
            return replies.level == .received || !limits.hasSpool || max(durable, replies.progress) >= owed
        }
    }

    mutating func lastAnswer(_ reason: CloseReason) -> ByteBuffer? {
        let error: SessionError? =
            switch reason {
            case .ended: nil
            case .stopped, .outputFinished: SessionError(.stopping, "the daemon stops")
            case .failed(let error): error
            }
        if replies != nil { return replies?.lastWrite(error, at: now) }
        guard let error else { return nil }
        var bytes = ByteBuffer()
        switch answers {
        // A stop is no error of a session that asked for nothing.
        case .text where error.code == .stopping: return nil
        case .text: bytes.writeString("error: \(error.message)\n")
        case .json: bytes.writeErrorLine(error, at: now)
        case .frames: bytes.writeErrorFrame(error, at: now)
        }
        return bytes
    }

    mutating func fail(_ error: SessionError, dropsRest: Bool = false) {
        if dropsRest { pieces.removeAll() }
        if case .ended(.failed) = phase { return }
        phase = .ended(.failed(error))
    }
}

extension SessionErrorCode {
    /// Nothing is wrong with what came before: its producer is told what became of it.
    fileprivate var waitsForAcks: Bool {
        switch self {
        case .incomplete, .idleTimeout, .rateLimit: true
        default: false
        }
    }
}
